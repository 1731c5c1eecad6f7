"""Checks rendered Kubernetes manifests for what a schema can't say.

    manifests.py sidecar|standalone RENDERED.yaml

The gateway's container is held to our hardening, and its TOML configuration, taken from the
ConfigMap that it mounts, has to agree with the pod around it: ports with probes, secret files with
mounts, the time for draining with the pod's grace period, the sizes with the memory limit.
Every fault is reported, each with the object that it is in.
"""

import posixpath
import re
import sys

import tomli
import yaml

MIB = 1024 * 1024
MAX_ANSWER = MIB  # bytes of a vendor's answer that are held at most
BYTES_PER_KEY = 80  # memory store of the limits
BASE_MEMORY = 64 * MIB  # the process itself and its connections
DEFAULT_SIZES = {"max_in_flight": 1_024, "max_body": "64KiB"}
PROBES = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
SECRET_MOUNTS = "/run/secrets/"

faults = []


def require(holds, where, what):
    if not holds:
        faults.append(f"{where}: {what}")


def main(kind, path):
    with open(path, encoding="utf-8") as file:
        objects = [o for o in yaml.safe_load_all(file) if o]
    deployment = only(objects, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    where = f"Deployment {deployment['metadata']['name']}"

    if kind == "sidecar":
        container = named(pod.get("initContainers", []), "mfa-gateway", where)
        config = configuration(objects, pod, container, where)
        require(
            container.get("restartPolicy") == "Always",
            where,
            "the gateway must be a native sidecar: an init container with restartPolicy: Always",
        )
    else:
        container = named(pod.get("containers", []), "mfa-gateway", where)
        config = configuration(objects, pod, container, where)
        check_standalone(objects, deployment, pod, config, where)

    check_pod(pod, config, where)
    check_hardening(pod, container, where)
    check_ports(kind, container, config, where)
    check_secrets(pod, container, config, where)
    check_draining(pod, config, where)
    check_memory(container, config, where)


def check_pod(pod, config, where):
    require(
        pod.get("enableServiceLinks") is False,
        where,
        "enableServiceLinks must be false: the environment is a configuration layer, and nobody else's variables belong there",
    )
    check_own_token(pod, config, where)
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        require(not pod.get(key), where, f"{key} must not be set")


def check_own_token(thing, config, where):
    """The gateway asks the API server only about its callers' service accounts."""
    asks = any("service_account" in caller for caller in config.get("callers", []))
    require(
        thing.get("automountServiceAccountToken") is asks,
        where,
        f"automountServiceAccountToken must be {str(asks).lower()}: {'a caller is' if asks else 'no caller is'} known by its service account",
    )


def check_hardening(pod, container, where):
    shared = pod.get("securityContext", {})
    own = container.get("securityContext", {})
    effective = {**shared, **own}
    where = f"{where}, container mfa-gateway, securityContext"
    require(effective.get("runAsNonRoot") is True, where, "runAsNonRoot must be true")
    require(effective.get("runAsUser", 0) > 0, where, "runAsUser must be a number above 0")
    require(own.get("readOnlyRootFilesystem") is True, where, "readOnlyRootFilesystem must be true")
    require(own.get("allowPrivilegeEscalation") is False, where, "allowPrivilegeEscalation must be false")
    require(not own.get("privileged"), where, "privileged must not be set")
    capabilities = own.get("capabilities", {})
    require(
        capabilities.get("drop") == ["ALL"] and not capabilities.get("add"),
        where,
        "capabilities must be dropped, ALL, and none added",
    )
    require(
        effective.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        where,
        "seccompProfile must be RuntimeDefault",
    )


def check_ports(kind, container, config, where):
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    admin_host, admin_port = address(config["admin"]["address"])
    require(
        not loopback(admin_host),
        where,
        "admin.address must be the pod's address: the kubelet's probes don't come by loopback",
    )
    for probe, path in PROBES.items():
        get = container.get(probe, {}).get("httpGet", {})
        require(get.get("path") == path, where, f"{probe} must get {path}")
        port = ports.get(get.get("port"), get.get("port"))
        require(port == admin_port, where, f"{probe} goes to port {port}, admin.address says {admin_port}")

    listen_host, listen_port = address(config["listen"]["address"])
    if kind == "sidecar":
        require(
            loopback(listen_host),
            where,
            "listen.address must be loopback: only the pod's app may call a sidecar",
        )
    else:
        require(not loopback(listen_host), where, "listen.address must be the pod's address")
        require(
            listen_port in ports.values(), where, f"no containerPort for listen.address' port {listen_port}"
        )
        require(
            config.get("callers"),
            where,
            "callers are missing: whoever reaches the Service could name any user",
        )
        require(
            config["listen"].get("tls"),
            where,
            "listen.tls is missing: callers' keys would cross the network in the clear",
        )


def check_secrets(pod, container, config, where):
    """No secret in the environment or the configuration; each secret file is in a mounted Secret."""
    require(
        not container.get("env") and not container.get("envFrom"),
        where,
        "the gateway's container must have no environment: secrets are files, settings the ConfigMap's",
    )
    arguments = container.get("command", []) + container.get("args", [])
    require("--set" not in arguments, where, "settings belong into the ConfigMap, not among the arguments")

    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    mounts = {m["mountPath"]: m for m in container.get("volumeMounts", [])}
    for key, value in leaves(config):
        name = key.rsplit(".", 1)[-1]
        require(
            name not in ("api_key", "client_id", "key", "password", "token", "shared_secret"),
            where,
            f"{key} is written into the ConfigMap: use {key}_file",
        )
        if not name.endswith("_file"):
            continue
        mount = mounts.get(posixpath.dirname(value))
        require(mount is not None, where, f"{key} = {value}: nothing is mounted there")
        if mount is not None:
            require(
                "secret" in volumes.get(mount["name"], {}),
                where,
                f"{key} = {value}: volume {mount['name']} is no Secret",
            )
    for path, mount in mounts.items():
        require(mount.get("readOnly") is True, where, f"the mount {path} must be read-only")
        if path.startswith(SECRET_MOUNTS):
            others = [
                c["name"]
                for c in pod["containers"] + pod.get("initContainers", [])
                if c is not container and mount["name"] in [m["name"] for m in c.get("volumeMounts", [])]
            ]
            require(
                not others,
                where,
                f"{', '.join(others)} mounts the gateway's Secret volume {mount['name']} too",
            )


def check_draining(pod, config, where):
    needed = sum(seconds(config["shutdown"][key]) for key in ("delay", "timeout"))
    grace = pod.get("terminationGracePeriodSeconds", 30)
    require(
        grace > needed,
        where,
        f"terminationGracePeriodSeconds is {grace}, must be more than shutdown.delay + shutdown.timeout = {needed:g}",
    )


def check_memory(container, config, where):
    sizes = {**DEFAULT_SIZES, **config["listen"]}
    keys = config.get("limits", {}).get("max_keys", 1_000_000)
    worst = (
        sizes["max_in_flight"] * (size(sizes["max_body"]) + MAX_ANSWER) + keys * BYTES_PER_KEY + BASE_MEMORY
    )
    resources = container.get("resources", {})
    limit = size(resources.get("limits", {}).get("memory", "0"))
    require(
        limit >= worst,
        where,
        f"the memory limit is {limit // MIB} MiB, at worst {worst // MIB + 1} MiB are needed for this max_in_flight, max_body and max_keys",
    )
    requests = resources.get("requests", {})
    require("cpu" in requests and "memory" in requests, where, "resources.requests must name cpu and memory")


def check_standalone(objects, deployment, pod, config, where):
    in_memory = config.get("limits", {}).get("store", "memory") == "memory"
    require(
        deployment["spec"].get("replicas") == 1 or not in_memory,
        where,
        "replicas must be 1 while limits are counted in memory",
    )
    account = only(objects, "ServiceAccount")
    check_own_token(account, config, "ServiceAccount mfa-gateway")
    require(
        pod.get("serviceAccountName") == account["metadata"]["name"],
        where,
        "serviceAccountName must be the ServiceAccount's",
    )

    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    service, budget, policy = (
        only(objects, kind) for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy")
    )
    for thing, selector in (
        ("Service", service["spec"]["selector"]),
        ("PodDisruptionBudget", budget["spec"]["selector"]["matchLabels"]),
        ("NetworkPolicy", policy["spec"]["podSelector"]["matchLabels"]),
        (where, deployment["spec"]["selector"]["matchLabels"]),
    ):
        require(
            selector and selector.items() <= labels, thing, "its selector doesn't match the Deployment's pods"
        )
    require(
        sorted(policy["spec"]["policyTypes"]) == ["Egress", "Ingress"],
        "NetworkPolicy",
        "both directions must be restricted",
    )
    require(
        all(rule.get("from") for rule in policy["spec"]["ingress"]),
        "NetworkPolicy",
        "an ingress rule without `from` lets everybody in",
    )

    ports = {p["name"]: p["containerPort"] for c in pod["containers"] for p in c.get("ports", [])}
    for port in service["spec"]["ports"]:
        require(
            port["targetPort"] in ports, "Service", f"targetPort {port['targetPort']} is no port of the pod"
        )
        require(port["targetPort"] != "admin", "Service", "the admin port must not be in the Service")


def configuration(objects, pod, container, where):
    """The gateway's TOML: in the ConfigMap, by the volume that holds the file named by -c."""
    arguments = container.get("args", [])
    path = arguments[arguments.index("-c") + 1]
    mount = next(m for m in container["volumeMounts"] if m["mountPath"] == posixpath.dirname(path))
    volume = next(v for v in pod["volumes"] if v["name"] == mount["name"])
    name = volume["configMap"]["name"]
    maps = {o["metadata"]["name"]: o for o in objects if o["kind"] == "ConfigMap"}
    if name not in maps:
        sys.exit(f"{where}: volume {mount['name']} names the ConfigMap {name}, which isn't rendered")
    return tomli.loads(maps[name]["data"][posixpath.basename(path)])


def only(objects, kind):
    found = [o for o in objects if o["kind"] == kind]
    if len(found) != 1:
        sys.exit(f"{len(found)} objects of kind {kind} are rendered, 1 is expected")
    return found[0]


def named(containers, name, where):
    found = [c for c in containers if c["name"] == name]
    if len(found) != 1:
        sys.exit(f"{where}: no container {name} where it is expected")
    return found[0]


def leaves(value, key=""):
    """Every setting as (dotted key, value)."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{key}[{index}]")
    else:
        yield key, value


def address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def loopback(host):
    return host.startswith("127.") or host == "::1"


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def size(text):
    """Sizes of the configuration (64KiB) and of Kubernetes (64Ki)."""
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi)?B?", text).groups()
    return int(number) * {None: 1, "Ki": 1024, "Mi": MIB, "Gi": 1024 * MIB}[unit]


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("sidecar", "standalone"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
    if faults:
        sys.exit("\n".join(faults))
