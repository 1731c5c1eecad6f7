"""Checks the dashboard and the alerts against the operator's guide.

    observability.py DEPLOY_FOLDER

The guide's table of metrics is the list: each metric with its kind and labels. Queries of the
dashboard and of the alerts may use nothing else. The guide names each alert, and no other.
Every fault is reported, each with file and place.
"""

import json
import re
import sys
from pathlib import Path

import promql_parser
import yaml

METRIC_ROW = re.compile(r"^\| `(mfa_gateway_\w+)` \| (counter|gauge|histogram) \| ([^|]*)\|", re.MULTILINE)
ALERT_ROW = re.compile(r"^\| `(MfaGateway\w+)` \| (critical|warning) \|", re.MULTILINE)
SCRAPED = {"instance", "job"}  # labels that Prometheus adds
# Grafana's own variables, by something of the same kind that a parser takes.
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*"}

faults = []


def main(folder):
    guide = (folder / "README.md").read_text(encoding="utf-8")
    metrics = series(guide)
    if not metrics:
        sys.exit(f"{folder}/README.md: no table of metrics is found")

    rules = folder / "prometheus" / "alerts.yaml"
    alerts = [
        rule
        for group in yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    used = set()
    for rule in alerts:
        used |= check_query(rule["expr"], metrics, f"{rules}: {rule['alert']}")
    compare_alerts(alerts, guide, rules)

    dashboard = folder / "grafana" / "mfa-gateway.json"
    try:
        shown = json.loads(dashboard.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        sys.exit(f"{dashboard}: it is no JSON: {error}")
    for place, query in queries(shown, dashboard):
        used |= check_query(query, metrics, f"{dashboard}: {place}")

    for name in sorted({base for base, _ in metrics.values()} - used):
        faults.append(f"{dashboard}: {name} is neither shown nor watched")


def series(guide):
    """What can be queried: the name of each series, with its metric and its labels."""
    found = {}
    for name, kind, labels in METRIC_ROW.findall(guide):
        labels = set(re.findall(r"`(\w+)`", labels)) | SCRAPED
        if kind == "histogram":
            found[f"{name}_bucket"] = (name, labels | {"le"})
            found[f"{name}_sum"] = found[f"{name}_count"] = (name, labels)
        else:
            found[name] = (name, labels)
    return found


def check_query(query, metrics, where):
    """Reports what is wrong with a query, and gives the metrics that it uses."""
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    try:
        tree = promql_parser.parse(query)
    except ValueError as error:
        faults.append(f"{where}: {error}")
        return set()

    used, labels, grouped = set(), set(SCRAPED), set()

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            base, known = metrics.get(node.name, (None, None))
            if base is None:
                faults.append(f"{where}: {node.name} is not in the guide's table of metrics")
                return
            used.add(base)
            labels.update(known)
            for matcher in node.matchers.matchers:
                if matcher.name not in known:
                    faults.append(f"{where}: {node.name} has no label {matcher.name}")
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            grouped.update(node.modifier.labels)

    promql_parser.walk(tree, visit)
    for label in sorted(grouped - labels):
        faults.append(f"{where}: groups by {label}, which none of its metrics has")
    return used


def queries(dashboard, path):
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric = re.fullmatch(r"label_values\((\w+), \w+\)", variable["query"]["query"])
            yield f"variable {variable['name']}", metric.group(1) if metric else variable["query"]["query"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        faults.append(f"{path}: two panels have the same id")
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r}", target["expr"]


def compare_alerts(alerts, guide, rules):
    defined = {rule["alert"]: rule["labels"]["severity"] for rule in alerts}
    explained = dict(ALERT_ROW.findall(guide))
    for name in sorted(defined.keys() | explained.keys()):
        if defined.get(name) != explained.get(name):
            faults.append(
                f"{rules}: {name} is {defined.get(name, 'not there')}, in the guide {explained.get(name, 'not there')}"
            )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
    if faults:
        sys.exit("\n".join(faults))
