import jax
import jax.numpy as jnp
import ksim, sys
from examples.cartpole import *
