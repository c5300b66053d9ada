import pytest

from ksim.xla import fallback


@pytest.fixture
def plain_ways(caplog):
    """The warnings of a test that takes a private door away; each comes once."""
    fallback.warn_of_plain_way.cache_clear()
    yield caplog
    fallback.warn_of_plain_way.cache_clear()
