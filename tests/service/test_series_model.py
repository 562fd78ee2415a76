"""A short run of the model of the series engine; `python -m tests.series_model` runs it for long."""

from hypothesis import settings

from tests.series_model import SeriesModel

TestSeries = SeriesModel.TestCase
TestSeries.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
