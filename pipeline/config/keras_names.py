"""The names that params.yaml may use for Keras' objects, and the arguments of each.

They are kept here as data, so that a typing mistake is reported within milliseconds, without importing Keras first.
A test compares these tables with the installed Keras.
"""

import math

_SHARED_BY_OPTIMIZERS = (
    "learning_rate", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum",
    "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps",
)  # fmt: skip

OPTIMIZERS = {
    name: _SHARED_BY_OPTIMIZERS + own
    for name, own in {
        "Adadelta": ("rho", "epsilon"),
        "Adafactor": ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step"),
        "Adagrad": ("initial_accumulator_value", "epsilon"),
        "Adam": ("beta_1", "beta_2", "epsilon", "amsgrad"),
        "AdamW": ("beta_1", "beta_2", "epsilon", "amsgrad"),
        "Adamax": ("beta_1", "beta_2", "epsilon"),
        "Ftrl": (
            "learning_rate_power", "initial_accumulator_value", "l1_regularization_strength",
            "l2_regularization_strength", "l2_shrinkage_regularization_strength", "beta",
        ),
        "Lion": ("beta_1", "beta_2"),
        "Muon": (
            "adam_beta_1", "adam_beta_2", "adam_weight_decay", "epsilon", "exclude_embeddings",
            "muon_a", "muon_b", "muon_c", "adam_lr_ratio", "momentum", "ns_steps", "nesterov", "rms_rate",
        ),
        "Nadam": ("beta_1", "beta_2", "epsilon"),
        "RMSprop": ("rho", "momentum", "epsilon", "centered"),
        "SGD": ("momentum", "nesterov"),
        "ScheduleFreeAdamW": ("beta_1", "beta_2", "epsilon", "warmup_steps"),
    }.items()
}  # fmt: skip

# Losses over one-hot labels and one output per class; Keras' other losses need labels of another form.
LOSSES = {
    "binary_crossentropy": ("label_smoothing",),
    "binary_focal_crossentropy": ("apply_class_balancing", "alpha", "gamma", "label_smoothing"),
    "categorical_crossentropy": ("label_smoothing",),
    "categorical_focal_crossentropy": ("alpha", "gamma", "label_smoothing"),
    "categorical_hinge": (),
    "cosine_similarity": (),
    "dice": (),
    "hinge": (),
    "huber": ("delta",),
    "kl_divergence": (),
    "log_cosh": (),
    "mean_absolute_error": (),
    "mean_absolute_percentage_error": (),
    "mean_squared_error": (),
    "mean_squared_logarithmic_error": (),
    "poisson": (),
    "squared_hinge": (),
    "tversky": ("alpha", "beta"),
}

# All activations except glu, which halves the number of channels, and threshold, which relu has as an argument.
ACTIVATIONS = {
    "celu": ("alpha",),
    "elu": ("alpha",),
    "exponential": (),
    "gelu": ("approximate",),
    "hard_shrink": ("threshold",),
    "hard_sigmoid": (),
    "hard_silu": (),
    "hard_tanh": (),
    "leaky_relu": ("negative_slope",),
    "linear": (),
    "log_sigmoid": (),
    "log_softmax": (),
    "mish": (),
    "relu": ("negative_slope", "max_value", "threshold"),
    "relu6": (),
    "selu": (),
    "sigmoid": (),
    "silu": (),
    "soft_shrink": ("threshold",),
    "softmax": (),
    "softplus": (),
    "softsign": (),
    "sparse_plus": (),
    "sparse_sigmoid": (),
    "sparsemax": (),
    "squareplus": ("b",),
    "tanh": (),
    "tanh_shrink": (),
}

INITIALIZERS = {
    "constant": ("value",),
    "glorot_normal": (),
    "glorot_uniform": (),
    "he_normal": (),
    "he_uniform": (),
    "lecun_normal": (),
    "lecun_uniform": (),
    "ones": (),
    "orthogonal": ("gain",),
    "random_normal": ("mean", "stddev"),
    "random_uniform": ("minval", "maxval"),
    "truncated_normal": ("mean", "stddev"),
    "variance_scaling": ("scale", "mode", "distribution"),
    "zeros": (),
}

FLAGS = {
    "amsgrad", "apply_class_balancing", "approximate", "centered", "exclude_embeddings", "nesterov", "relative_step",
    "use_ema",
}  # fmt: skip
COUNTS = {"ema_overwrite_frequency", "gradient_accumulation_steps", "ns_steps", "warmup_steps"}
WORDS = {
    "mode": ("fan_in", "fan_out", "fan_avg"),
    "distribution": ("truncated_normal", "untruncated_normal", "uniform"),
}


def find_fault(argument: str, value: object) -> str | None:
    """Return None if the value is allowed for this argument; otherwise say what to write instead."""
    if argument in FLAGS:
        return None if isinstance(value, bool) else "true or false"
    if argument in WORDS:
        return None if value in WORDS[argument] else f"one of {', '.join(WORDS[argument])}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "a number"
    if argument in COUNTS:
        return None if isinstance(value, int) and value > 0 else "a whole number above 0"
    return "a number above 0" if argument == "learning_rate" and value <= 0 else None
