"""The checker behind jaxtyping: an int will do where a float is asked for, as type checkers say."""

from beartype import BeartypeConf, beartype

check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
