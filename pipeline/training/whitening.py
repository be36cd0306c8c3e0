"""Filters of a first convolution that are computed from the training images, instead of learned."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.data.arrays import FloatArray, UInt8Array
from pipeline.data.pixels import SCALE

MAX_PATCHES = 1_000_000  # about as many are used at most, from images spread over the whole training set
EPSILON = 5e-4  # added to the variances of pixels in [0, 1]: patterns below 6 grey levels count as noise


def compute_whitening(pixels: UInt8Array, kernel_size: int, filters: int) -> tuple[FloatArray, FloatArray]:
    """Return the kernel [size, size, channels, filters] and the bias [filters] that whiten images' patches.

    `pixels` are stored training images [n, height, width, channels]; the convolution takes images in [0, 1]. The first
    half of the outputs are the principal components of a patch, strongest first, each of variance 1, or less if a
    component is faint; the second half are their negatives, which a ReLU would otherwise lose.
    Sources: A. Coates and A. Ng, Learning feature representations with k-means, 2012 (whitening of patches);
    D. Page, How to train your ResNet 8, 2019 (as a first convolution that is kept fixed).
    """
    count, height, width, channels = pixels.shape
    size = kernel_size**2 * channels
    images = min(count, max(1, MAX_PATCHES // (height * width)))
    total, products, patches = np.zeros(size), np.zeros((size, size)), 0
    for place in np.linspace(0, count - 1, images).astype(int):
        windows = sliding_window_view(pixels[place], (kernel_size, kernel_size), axis=(0, 1))
        # Sums of whole numbers are exact, so the order in which a processor adds doesn't matter.
        flat = windows.transpose(0, 1, 3, 4, 2).reshape(-1, size).astype(np.float64)
        total += flat.sum(axis=0)
        products += flat.T @ flat
        patches += len(flat)
    mean = total / patches
    variances, components = np.linalg.eigh((products / patches - np.outer(mean, mean)) * float(SCALE) ** 2)
    strongest = np.argsort(-variances)[: filters // 2]
    scaled = components[:, strongest] / np.sqrt(variances[strongest] + EPSILON)
    kernel = np.concatenate([scaled, -scaled], axis=1)
    bias = -(mean * float(SCALE)) @ kernel
    shape = (kernel_size, kernel_size, channels, filters)
    return kernel.reshape(shape).astype(np.float32), bias.astype(np.float32)
