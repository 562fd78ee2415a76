"""A short run of the model of the series engine; `python -m tests.soak series` runs it for as long as one likes."""

from hypothesis import settings

from tests.series_model import SeriesModel

TestSeries = SeriesModel.TestCase
TestSeries.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
