"""The Helm chart, linted and rendered by Helm's own engine: what `deploy/check` asks for. Not a test by itself.

`lint` prints what Helm finds in the chart, warnings too. `render FOLDER` writes the manifests for each of CASES into a file,
and for the release that `deploy/kubernetes` is of. `manifests` prints the latter. It needs what `make deployment` installs.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from helm_python.chart import Chart, lint, values_from_yaml

from tests.deployment import DEPLOY

CHART = DEPLOY / "helm" / "pluto-proxy"
HEADING = (
    "# What the chart in deploy/helm makes of its own values; written by `make manifests`. README.md has the steps around it.\n"
)
# Values by what they are for; the first is what `deploy/kubernetes` has.
CASES: Mapping[str, str] = {
    "pluto-proxy": "",
    "openshift": "podSecurityContext: null",
    "no-tokens": 'tokens: false\nconfig: |\n  [access]\n  networks = ["10.0.0.0/8"]',
    "no-disk": "persistence: {enabled: false}",
    "own-disk": "persistence: {existingClaim: mine}",
    "closed": "networkPolicy: {clients: [], prometheus: []}",
    "no-policy": "networkPolicy: {enabled: false}",
    "company": (
        f"image: {{repository: registry.example.com/pluto-proxy, digest: 'sha256:{'0' * 64}'}}\n"
        "imagePullSecrets: [{name: registry}]\n"
        "allowedHosts: [pluto-proxy.example.com]\n"
        "service: {port: 443}\n"
        "tlsSecretName: pluto-proxy-tls\n"
        "persistence: {storageClassName: local, size: 20Gi}\n"
        "networkPolicy: {upstreamPorts: [3128]}\n"
        "nodeSelector: {disk: ssd}\n"
        "tolerations: [{key: dedicated, operator: Exists}]\n"
        "podLabels: {team: ml}\n"
        "podAnnotations: {note: 'yes'}\n"
    ),
}


def rendered(case: str) -> str:
    """Return the manifests for one of CASES, as `helm template` would print them."""
    with Chart.load(CHART) as chart:
        files = chart.render(values_from_yaml(CASES[case]), name="pluto-proxy", namespace="pluto")
    texts = [text.strip() for name, text in sorted(files.items()) if name.endswith(".yaml") and text.strip()]
    return "".join(f"---\n{text}\n" for text in texts)


def findings() -> list[str]:
    """Return what Helm's lint says of the chart, for the values of each case."""
    said = []
    for case, values in CASES.items():
        report = lint(CHART, values_from_yaml(values), strict=True, namespace="pluto")
        # That a chart has no icon is of no matter.
        found = [message["error"] for message in report["messages"] if "icon is recommended" not in message["error"]]
        said += [f"{case}: {text}" for text in [*found, *report["errors"]]]
    return said


def main(arguments: list[str]) -> int:
    """Do what the first argument says; return 1 if something was found."""
    match arguments:
        case ["lint"]:
            said = findings()
            sys.stdout.write("".join(f"{text}\n" for text in said))
            return bool(said)
        case ["render", folder]:
            for case in CASES:
                (Path(folder) / f"{case}.yaml").write_text(rendered(case))
        case ["manifests"]:
            sys.stdout.write(HEADING + rendered("pluto-proxy"))
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
