"""Answers of every route with lone surrogates in them."""

from proxy.core.question import shapes
from proxy.core.question.shapes import Check

LONE = r"\ud83d"
ROW = r'{"logName":"%s","logGroup":"%s","value":1,"valueFlag":"%s","time":"%s","step":1}'
BODIES: dict[Check, str] = {
    shapes.check_metrics: '{"metrics":[' + ROW % (LONE, LONE, LONE, LONE) + "]}",
    shapes.check_list: r'{"runs":[{"id":1,"name":"\ud83d","status":"\ude00"}],"total":1,"\ud83d":2}',
    shapes.check_projects: r'{"projects":[{"name":"\ud83d"}]}',
    shapes.check_details: (
        r'{"id":1,"name":"\ud83d","status":"x","projectName":"p","logNames":[{"logName":"\ud83d"}],"config":{"a":"\ud83d"}}'
    ),
    shapes.check_raw: r'{"rows":[{"step":1,"time":"\ud83d","value":1}],"truncated":false}',
    shapes.check_statistics: r'{"metrics":[{"logName":"\ud83d"}]}',
    shapes.check_runs: r'{"runs":["\ud83d"]}',
    shapes.check_metric_names: r'{"metricNames":["\ud83d","\ude00\ud83d"]}',
    shapes.check_logs: r'{"logs":[{"message":"\ud83d"}],"total":"1"}',
    shapes.check_files: r'{"files":[{"fileName":"\ud83d"}]}',
    shapes.check_history: r'{"events":["\ud83d"]}',
}
