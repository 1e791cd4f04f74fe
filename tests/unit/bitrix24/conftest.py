"""Property tests here state facts and no speed: two cores may be shared by several runs."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
