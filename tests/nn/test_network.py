import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.nn import GRU, MLP, Network, activation_function


def test_mlp_is_its_matrix_products():
    network = MLP((4, 3), 2, activation="tanh")
    x = jnp.arange(5.0)
    params = network.init(jax.random.key(0), x, ())["params"]
    hidden = np.tanh(x @ params["hidden_0"]["kernel"])
    hidden = np.tanh(hidden @ params["hidden_1"]["kernel"])
    expected = hidden @ params["output"]["kernel"]
    output, carry = network.apply({"params": params}, x, network.initial_carry())
    np.testing.assert_allclose(output, expected, rtol=1e-5)
    assert carry == network.initial_carry() == ()


def test_gru_is_its_equations():
    network = GRU(4, 2, output_size=3)
    x = jnp.linspace(-1, 1, 5)
    states = (jnp.full(4, 0.5), jnp.full(4, -0.2))
    params = network.init(jax.random.key(0), x, states)["params"]
    # Biases other than 0, so that the equation shows which of them stands inside the reset gate.
    params = jax.tree.map(lambda p: p + 0.1, params)

    def cell(weights, x, h):
        def dense(name, value):
            return value @ weights[name]["kernel"] + weights[name].get("bias", 0)

        r = jax.nn.sigmoid(dense("ir", x) + dense("hr", h))
        z = jax.nn.sigmoid(dense("iz", x) + dense("hz", h))
        n = jnp.tanh(dense("in", x) + r * dense("hn", h))
        return (1 - z) * n + z * h

    first = cell(params["hidden_0"], x, states[0])
    second = cell(params["hidden_1"], first, states[1])
    expected = second @ params["output"]["kernel"] + params["output"]["bias"]
    output, carry = network.apply({"params": params}, x, states)
    np.testing.assert_allclose(output, expected, rtol=1e-5)
    np.testing.assert_allclose(carry[0], first, rtol=1e-5)
    np.testing.assert_allclose(carry[1], second, rtol=1e-5)


@pytest.mark.parametrize(
    "make",
    [lambda p: MLP((32, 32), 3, matmul_precision=p), lambda p: GRU(32, 2, 3, matmul_precision=p)],
)
def test_rounding_changes_outputs_and_gradients_little(make):
    exact, rounding = make("float32"), make("bfloat16")
    x, carry = jnp.linspace(-1, 1, 5), exact.initial_carry()
    params = exact.init(jax.random.key(0), x, carry)
    assert jax.tree.map(jnp.shape, rounding.init(jax.random.key(0), x, carry)) == jax.tree.map(
        jnp.shape, params
    )

    def loss(network):
        return lambda params: (network.apply(params, x, carry)[0] ** 2).sum()

    differences = []
    for ours, theirs in zip(
        jax.tree.leaves(jax.value_and_grad(loss(rounding))(params)),
        jax.tree.leaves(jax.value_and_grad(loss(exact))(params)),
        strict=True,
    ):
        assert ours.dtype == jnp.float32
        differences.append(float(jnp.abs(ours - theirs).max() / jnp.abs(theirs).max()))
    assert 0 < max(differences) < 0.03


def test_unknown_precision():
    with pytest.raises(ValueError, match=r'matmul_precision="float64".*bfloat16, float32'):
        MLP((4,), 2, matmul_precision="float64")


def test_gru_starts_from_zeros():
    assert [state.tolist() for state in GRU(3, 2, 1).initial_carry()] == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("network", [MLP((6,), 4, output_scale=0.01), GRU(6, 1, 4, 0.01)])
def test_weights_start_orthogonal_and_biases_zero(network):
    variables = network.init(jax.random.key(0), jnp.ones(6), network.initial_carry())
    kernel = variables["params"]["output"]["kernel"]
    np.testing.assert_allclose(kernel.T @ kernel, 1e-4 * np.eye(4), atol=1e-8)
    for path, leaf in jax.tree.leaves_with_path(variables):
        if path[-1].key == "bias":
            np.testing.assert_array_equal(leaf, 0)
        elif "hidden" in str(path):
            gram = leaf.T @ leaf
            np.testing.assert_allclose(gram, gram[0, 0] * np.eye(6), atol=1e-5)


def test_networks_are_hashable_and_equal_by_value():
    assert hash(MLP((4,), 2)) == hash(MLP((4,), 2))
    assert GRU(4, 1, 2) == GRU(4, 1, 2) != GRU(4, 2, 2)


def test_unknown_activation():
    with pytest.raises(ValueError, match=r'activation="relo".*elu, gelu.*Did you mean "relu"\?'):
        MLP((4,), 2, activation="relo")
    with pytest.raises(ValueError, match="no such activation"):
        activation_function("nothing")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP((4, 0), 2), r"MLP\(hidden_sizes=\(4, 0\)\)"),
        (lambda: MLP((4,), 0), r"MLP\(output_size=0\)"),
        (lambda: GRU(0, 1, 1), r"GRU\(hidden_size=0\)"),
        (lambda: GRU(4, 0, 1), r"GRU\(num_layers=0\)"),
    ],
)
def test_sizes_must_be_positive(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_network_without_a_memory_method_cannot_be_made():
    class Half(Network):
        def __call__(self, x, carry):
            return x, carry

    with pytest.raises(TypeError, match="initial_carry"):
        Half()
