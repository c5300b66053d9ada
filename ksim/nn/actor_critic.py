"""An actor and a critic, each with its own network and its own observations."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from ksim.config import unknown_name_message
from ksim.nn.action_head import ActionHead, CategoricalHead, NormalHead
from ksim.nn.convolution import ConvolutionalTrunk
from ksim.nn.model import ModelDefinition, ModelOutput
from ksim.nn.network import GRU, MLP, Network

_DISTRIBUTIONS = ("normal", "tanh_normal", "categorical")
_NETWORKS = ("mlp", "gru")


@dataclasses.dataclass(frozen=True)
class ActorCritic(ModelDefinition):
    """Two networks that share nothing; the critic may see what the actor cannot (asymmetric).

    Attributes:
      actor: network from the actor's observations to `head.num_outputs` numbers.
      critic: network from the critic's observations to 1 number.
      head: turns the actor's output into a distribution.
      actor_observations: names of the actor's observations, flattened and joined in this order.
      critic_observations: names of the critic's observations, joined in the same way.
      observation_shapes: `(name, shape)` of each observation of one environment.

    Raises:
      ValueError: if a network sees nothing.
      KeyError: if a name is not that of an observation.
    """

    actor: Network
    critic: Network
    head: ActionHead
    actor_observations: tuple[str, ...]
    critic_observations: tuple[str, ...]
    observation_shapes: tuple[tuple[str, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        shapes = dict(self.observation_shapes)
        _names("actor_observations", self.actor_observations, shapes)
        _names("critic_observations", self.critic_observations, shapes)

    @classmethod
    def create(
        cls,
        observation_shapes: Mapping[str, tuple[int, ...]],
        action_size: int,
        *,
        distribution: str = "normal",
        network: str = "mlp",
        hidden_sizes: Iterable[int] = (256, 256),
        activation: str = "elu",
        conv_channels: Iterable[int] = (),
        conv_kernels: Iterable[int] = (3,),
        conv_strides: Iterable[int] = (1,),
        actor_observations: Iterable[str] | None = None,
        critic_observations: Iterable[str] | None = None,
        init_std: float = 1.0,
        is_std_state_dependent: bool = False,
        matmul_precision: str = "float32",
    ) -> "ActorCritic":
        """Returns an actor and a critic of the same size.

        Args:
          observation_shapes: shape of each observation of one environment.
          action_size: number of action components, or of choices if `categorical`.
          distribution: `normal`, `tanh_normal` or `categorical`.
          network: `mlp` or `gru`.
          hidden_sizes: width of each hidden layer; a `gru`'s are all of one width.
          activation: of an `mlp` and of convolutions; a `gru` has its own.
          conv_channels: channels of each convolutional layer before the network; none by default.
          conv_kernels: rows and columns of their kernels; one number for each, or for all.
          conv_strides: their strides; one number for each, or for all.
          actor_observations: observations of the actor; by default all, in alphabetical order.
          critic_observations: observations of the critic; by default all, in alphabetical order.
          init_std: standard deviation of normal distributions at the start.
          is_std_state_dependent: True if the actor puts out standard deviations too.
          matmul_precision: `float32`, or `bfloat16` to round the factors of matrix products.

        Raises:
          ValueError: if an option has none of the values above, or there is nothing to convolve.
          KeyError: if a name is not that of an observation.
        """
        shapes = {name: tuple(shape) for name, shape in sorted(observation_shapes.items())}
        actor_names = _names("actor_observations", actor_observations, shapes)
        critic_names = _names("critic_observations", critic_observations, shapes)
        head = _head(distribution, action_size, init_std, is_std_state_dependent)
        hidden = tuple(hidden_sizes)
        layers = (tuple(conv_channels), tuple(conv_kernels), tuple(conv_strides))

        def make(names: tuple[str, ...], size: int, scale: float) -> Network:
            behind = _network(network, hidden, size, activation, scale, matmul_precision)
            seen = tuple(shapes[name] for name in names)
            return ConvolutionalTrunk(behind, seen, *layers, activation) if layers[0] else behind

        return cls(
            actor=make(actor_names, head.num_outputs, scale=0.01),
            critic=make(critic_names, 1, scale=1.0),
            head=head,
            actor_observations=actor_names,
            critic_observations=critic_names,
            observation_shapes=tuple(shapes.items()),
        )

    def init(self, key: Key[Array, ""]) -> dict[str, PyTree]:
        """Returns new parameters: `{"actor": ..., "critic": ..., "head": ...}`.

        Raises:
          ValueError: if the output of a network is not of the size that is needed.
        """
        actor_key, critic_key = jax.random.split(key)
        return {
            "actor": self._init(
                self.actor, actor_key, self.actor_observations, self.head.num_outputs
            ),
            "critic": self._init(self.critic, critic_key, self.critic_observations, 1),
            "head": self.head.init(),
        }

    def apply(
        self, params: PyTree[Array], observations: Mapping[str, Array], carry: PyTree
    ) -> ModelOutput:
        """Returns the action distribution and the value of one environment.

        Raises:
          KeyError: if an observation is missing.
          ValueError: if an observation is not of the shape that it had when the model was made.
        """
        actor_carry, critic_carry = carry or ((), ())
        outputs, actor_carry = self.actor.apply(
            {"params": params["actor"]},
            self._joined(observations, self.actor_observations),
            actor_carry,
        )
        value, critic_carry = self.critic.apply(
            {"params": params["critic"]},
            self._joined(observations, self.critic_observations),
            critic_carry,
        )
        distribution = self.head(params["head"], outputs)
        return ModelOutput(distribution, value[0], _pair(actor_carry, critic_carry))

    def initial_carry(self) -> PyTree:
        """Returns the memories `(actor's, critic's)` at the start of an episode; `()` if none."""
        return _pair(self.actor.initial_carry(), self.critic.initial_carry())

    def _init(
        self, network: Network, key: Key[Array, ""], names: tuple[str, ...], output_size: int
    ) -> PyTree[Array]:
        x = self._joined({name: jnp.zeros(shape) for name, shape in self.observation_shapes}, names)
        (output, _), variables = network.init_with_output(key, x, network.initial_carry())
        if output.shape != (output_size,):
            raise ValueError(
                f"ActorCritic: {network} puts out {output.shape}, where ({output_size},) is needed:"
                f" set its output_size to {output_size}."
            )
        return variables["params"]

    def _joined(
        self, observations: Mapping[str, Array], names: tuple[str, ...]
    ) -> Float[Array, "num_inputs"]:
        shapes = dict(self.observation_shapes)
        for name in names:
            if name not in observations:
                raise KeyError(f"ActorCritic: {_no_observation(name, observations)}")
            if observations[name].shape != shapes[name]:
                raise ValueError(
                    f'ActorCritic: observation "{name}" must have shape {shapes[name]}, found'
                    f" {observations[name].shape}. A model sees one environment at one time: use"
                    " jax.vmap for more."
                )
        return jnp.concatenate([observations[name].ravel().astype(jnp.float32) for name in names])


def _pair(actor_carry: PyTree, critic_carry: PyTree) -> PyTree:
    pair = (actor_carry, critic_carry)
    return pair if jax.tree.leaves(pair) else ()


def _head(
    distribution: str, action_size: int, init_std: float, is_std_state_dependent: bool
) -> ActionHead:
    if distribution == "categorical":
        return CategoricalHead(action_size)
    if distribution not in _DISTRIBUTIONS:
        raise ValueError(_no_choice("distribution", distribution, _DISTRIBUTIONS))
    return NormalHead(
        action_size,
        init_std,
        is_squashed=distribution == "tanh_normal",
        is_std_state_dependent=is_std_state_dependent,
    )


def _network(
    kind: str,
    hidden_sizes: tuple[int, ...],
    output_size: int,
    activation: str,
    output_scale: float,
    matmul_precision: str,
) -> Network:
    if kind == "mlp":
        return MLP(hidden_sizes, output_size, activation, output_scale, matmul_precision)
    if kind != "gru":
        raise ValueError(_no_choice("network", kind, _NETWORKS))
    if len(set(hidden_sizes)) != 1:
        raise ValueError(
            f'ActorCritic(network="gru", hidden_sizes={hidden_sizes}): the layers of a GRU are all'
            " of one width. Write hidden_sizes=(256, 256) for two layers of 256."
        )
    return GRU(hidden_sizes[0], len(hidden_sizes), output_size, output_scale, matmul_precision)


def _names(option: str, names: Iterable[str] | None, known: Collection[str]) -> tuple[str, ...]:
    """Returns what a network sees, by default everything; checks that it exists."""
    names = tuple(known if names is None else names)
    if not names:
        raise ValueError(f"ActorCritic({option}=()): name at least one of {', '.join(known)}.")
    for name in names:
        if name not in known:
            raise KeyError(f"ActorCritic({option}={names}): {_no_observation(name, known)}")
    return names


def _no_observation(name: str, known: Iterable[str]) -> str:
    return unknown_name_message(name, known, kind="observation", place="in the environment")


def _no_choice(option: str, choice: str, choices: tuple[str, ...]) -> str:
    message = unknown_name_message(choice, choices, kind=option, place="in ksim")
    return f'ActorCritic({option}="{choice}"): {message}'
