"""Options of the networks of the actor and the critic."""

from collections.abc import Sequence
from dataclasses import dataclass

from ksim.config.config import Config
from ksim.config.option import ConfigError, option
from ksim.config.value import value_text

ACTIVATIONS = ("elu", "gelu", "leaky_relu", "relu", "silu", "tanh")


@dataclass
class NetworkConfig(Config):
    """Networks."""

    network: str = option(
        "mlp", help="Networks without memory (mlp), or with it (gru).", choices=("mlp", "gru")
    )
    hidden_sizes: tuple[int, ...] = option(
        (256, 256), help="Width of each hidden layer, of the actor and of the critic.", minimum=1
    )
    activation: str = option(
        "elu", help="Activation of an mlp and of convolutions.", choices=ACTIVATIONS
    )
    conv_channels: tuple[int, ...] = option(
        (),
        help="Channels of each convolutional layer over observed images, before the mlp or gru; []"
        " has none. An image is an observation [channels, rows, columns].",
        minimum=1,
    )
    conv_kernels: tuple[int, ...] = option(
        (3,),
        help="Rows and columns that a convolution looks at; one number for each layer, or for all.",
        unit="cells",
        minimum=1,
    )
    conv_strides: tuple[int, ...] = option(
        (1,),
        help="From one look to the next: 2 halves rows and columns. One number for each layer, or"
        " for all.",
        unit="cells",
        minimum=1,
    )
    matmul_precision: str = option(
        "float32",
        help="Precision that networks multiply in: float32; bfloat16, which rounds the factors and"
        " adds up in float32; or auto, which takes bfloat16 on CPUs where it saves a tenth of the"
        " networks' time, measured once. Convolutions are float32.",
        choices=("float32", "bfloat16", "auto"),
    )
    action_distribution: str = option(
        "normal",
        help="Distribution of continuous actions; tanh_normal keeps them within -1 and 1.",
        choices=("normal", "tanh_normal"),
    )
    init_std: float = option(
        1.0,
        help="Standard deviation of continuous actions at the start. They keep 0.01 at least.",
        above=0.01,
    )
    is_observation_normalized: bool = option(
        True, help="Scale observations to mean 0 and deviation 1, with moments over all devices."
    )

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        if self.network == "gru" and len(set(self.hidden_sizes)) != 1:
            raise ConfigError(
                f"network=gru hidden_sizes={value_text(self.hidden_sizes)}: a gru has at least one"
                " layer, and all of its layers are of one width. Write hidden_sizes=[256,256] for"
                " two layers of 256."
            )
        convolution_sizes(self.conv_channels, self.conv_kernels, self.conv_strides)


def convolution_sizes(
    channels: Sequence[int], kernels: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Returns channels, kernel and stride of each convolutional layer.

    Raises:
      ConfigError: if there is neither one number for each layer nor one for all, or one is not
        positive.
    """
    found = {"conv_channels": channels, "conv_kernels": kernels, "conv_strides": strides}
    for name, values in found.items():
        written = f"{name}={value_text(tuple(values))}"
        if any(value < 1 for value in values):
            raise ConfigError(f"{written}: numbers of at least 1. Write, for example, {name}=[2].")
        if len(values) != 1 and len(values) != len(channels):
            example = value_text(tuple(values[:1]) or (2,))
            raise ConfigError(
                f"{written} with conv_channels={value_text(tuple(channels))}: one number for each"
                f" layer, or one for all. Write {len(channels)} numbers, or {name}={example}."
            )

    def of_all_layers(values: Sequence[int]) -> Sequence[int]:
        return values if len(values) == len(channels) else [values[0]] * len(channels)

    return list(zip(channels, of_all_layers(kernels), of_all_layers(strides), strict=True))
