"""A short run of the model of the series engine; `python -m tests.series_model` runs it for long."""

from hypothesis import settings

from tests.series_model.model import SeriesModel

TestSeries = SeriesModel.TestCase
# The same examples every time: what is new is for the long run to find.
TestSeries.settings = settings(max_examples=15, stateful_step_count=25, derandomize=True)
