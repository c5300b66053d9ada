"""Options of the networks of the actor and the critic."""

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
    activation: str = option("elu", help="Activation of an mlp.", choices=ACTIVATIONS)
    matmul_precision: str = option(
        "float32",
        help="Precision that networks multiply in: float32; bfloat16, which rounds the factors and"
        " adds up in float32; or auto, which takes bfloat16 on CPUs where it saves a tenth of the"
        " networks' time, measured once.",
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
