"""The size of every image, which all stages share."""

IMAGE_SIZE = 28  # pixels per side, as in MNIST
