"""The configuration: every fault at once, each with its path, and secrets shown as ***."""

import json
from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.addresses import TcpAddress, is_loopback, read_address
from proxy.config.load import KeySource
from proxy.config.model import Config
from proxy.config.render import render
from proxy.errors import ConfigError


def faults(environ: dict[str, str], path: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return caught.value.faults


def test_the_defaults_are_valid() -> None:
    """Nothing has to be set but the key."""
    loaded = load(None, {"HOME": "/", "PATH": "/bin"})
    assert loaded.config.server.listen == ("127.0.0.1:8787",)
    assert loaded.key is None


def test_the_example_says_what_the_defaults_are() -> None:
    """The annotated file names every key, with its default as the value."""
    path = Path(__file__).parents[2] / "config" / "pluto-proxy.toml"
    loaded = load(path, {})
    assert loaded.config == load(None, {}).config
    named = {f"{section}.{key}" for section, key in loaded.sources}
    set_, unset = set[str](), set[str]()
    for name, section in Config():
        for key, value in section:
            (unset if value is None else set_).add(f"{name}.{key}")
    assert named == set_
    commented = {f"# {name.partition('.')[2]} = " for name in unset}
    assert commented == {line for line in commented if line in path.read_text()}


def test_every_fault_at_once(tmp_path: Path) -> None:
    """Faults of the file, of the environment, of types, ranges and names are told together."""
    path = tmp_path / "bad.toml"
    path.write_text(
        'loose = 1\n[server]\nlisten = "0.0.0.0:1"\nport = 5\n[cache]\nlabel = "a b"\nmax_bytes = -1\n'
        '[freshness]\nrunning_s = -1\nnegative_s = nan\n[upstream]\nextra_params = ["runId"]\n[xyz]\na = 1\n'
    )
    told = faults(
        {
            "PLUTO_PROXY_UPSTREAM": "ftp://x",
            "PLUTO_PROXY_UPSTREAM__URL": "http://y",
            "PLUTO_PROXY_FOO__BAR": "1",
            "PLUTO_PROXY_LOG__COLOUR": "1",
            "PLUTO_API_KEY": "a",
            "PLUTO_API_KEY_FILE": "b",
        },
        path,
    )
    paths = {line.split(":")[0] for line in told}
    assert paths == {
        "loose",
        "server.listen",
        "server.port",
        "cache.label",
        "cache.max_bytes",
        "freshness.running_s",
        "freshness.negative_s",
        "upstream.extra_params.0",
        "upstream.url",
        "xyz",
        "PLUTO_PROXY_UPSTREAM__URL",
        "PLUTO_PROXY_FOO__BAR",
        "PLUTO_PROXY_LOG__COLOUR",
        "PLUTO_API_KEY",
    }
    assert any(str(path) in line for line in told)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLUTO_PROXY_UPSTREAM", "https://user:secret@host"),
        ("PLUTO_PROXY_UPSTREAM", "https://host/?a=1"),
        ("PLUTO_PROXY_UPSTREAM", "https://host:port"),
        ("PLUTO_PROXY_UPSTREAM", "host"),
        ("PLUTO_PROXY_LISTEN", "8787"),
        ("PLUTO_PROXY_LISTEN", "127.0.0.1"),
        ("PLUTO_PROXY_LISTEN", ":8787"),
        ("PLUTO_PROXY_LISTEN", "::1:8787"),
        ("PLUTO_PROXY_LISTEN", "127.0.0.1:65536"),
        ("PLUTO_PROXY_LISTEN", "127.0.0.1:\u0661"),
        ("PLUTO_PROXY_LISTEN", "192.168.1.1:8787"),
        ("PLUTO_PROXY_LISTEN", "[::]:8787"),
        ("PLUTO_PROXY_LISTEN", "example.org:8787"),
        ("PLUTO_PROXY_SERVER__ALLOWED_HOSTS", "https://a"),
        ("PLUTO_PROXY_ACCESS__OPEN", "maybe"),
        ("PLUTO_PROXY_ACCESS__TOKENS_FILE", ""),
        ("PLUTO_PROXY_ACCESS__TOKENS_FILE", "/"),
        ("PLUTO_PROXY_ACCESS__NETWORKS", "10.0.0.1/8"),
        ("PLUTO_PROXY_ACCESS__NETWORKS", "intranet"),
        ("PLUTO_PROXY_ACCESS__TRUSTED_PROXIES", "0.0.0.0/0"),
        ("PLUTO_PROXY_ACCESS__TRUSTED_PROXIES", "::ffff:0:0/96"),
        ("PLUTO_PROXY_UPSTREAM__EXTRA_PARAMS", "_"),
        ("PLUTO_PROXY_UPSTREAM__DEADLINE_S", "0"),
        ("PLUTO_PROXY_UPSTREAM__STALL_S", "0"),
        ("PLUTO_PROXY_CACHE__MAX_BYTES", "1 parsec"),
    ],
)
def test_bad_values(name: str, value: str) -> None:
    """Each is one fault, and what could be a secret isn't repeated."""
    told = faults({name: value})
    assert len(told) == 1
    assert "secret" not in told[0]


def test_a_standstill_cannot_last_longer_than_a_call() -> None:
    """A stall_s beyond deadline_s could never come true; its default is no obstacle to a short deadline."""
    short = {"PLUTO_PROXY_UPSTREAM__DEADLINE_S": "2"}
    assert load(None, short).config.upstream.deadline_s == 2
    assert load(None, {**short, "PLUTO_PROXY_UPSTREAM__STALL_S": "2"}).config.upstream.stall_s == 2
    [fault] = faults({**short, "PLUTO_PROXY_UPSTREAM__STALL_S": "2.1"})
    assert "stall_s must be at most deadline_s (2)" in fault
    assert "PLUTO_PROXY_UPSTREAM__STALL_S" in fault


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("OPEN", "true", True),
        ("OPEN", "false", False),
        ("TOKENS_FILE", "/etc/pluto-proxy/tokens.json", True),
        ("NETWORKS", "10.0.0.0/8,fd00::/8", True),
        ("NETWORKS", "", False),
        ("TRUSTED_PROXIES", "10.0.0.1", False),
    ],
)
def test_who_may_ask_from_elsewhere(name: str, value: str, allowed: bool) -> None:
    """An address that others can reach takes tokens, networks, or saying that everybody is meant; loopback takes nothing."""
    environ = {f"PLUTO_PROXY_ACCESS__{name}": value}
    load(None, environ)
    if allowed:
        load(None, {**environ, "PLUTO_PROXY_LISTEN": "0.0.0.0:1"})
    else:
        [fault] = faults({**environ, "PLUTO_PROXY_LISTEN": "0.0.0.0:1"})
        assert all(word in fault for word in ("tokens_file", "networks", "access.open = true", "PLUTO_PROXY_LISTEN"))


def test_access_settings() -> None:
    """Networks are kept in one spelling, the file as an absolute path; to let in everybody and not everybody is a fault."""
    environ = {
        "PLUTO_PROXY_ACCESS__TOKENS_FILE": "~/tokens.json",
        "PLUTO_PROXY_ACCESS__NETWORKS": "10.0.0.5, FD00::/8, ::ffff:10.0.0.0/104",
        "PLUTO_PROXY_ACCESS__TRUSTED_PROXIES": "127.0.0.1",
    }
    access = load(None, environ).config.access
    assert access.tokens_file == Path.home() / "tokens.json"
    assert access.networks == ("10.0.0.5/32", "fd00::/8", "10.0.0.0/8")
    assert access.trusted_proxies == ("127.0.0.1/32",)
    for name in ("TOKENS_FILE", "NETWORKS"):
        key = f"PLUTO_PROXY_ACCESS__{name}"
        [fault] = faults({key: environ[key], "PLUTO_PROXY_ACCESS__OPEN": "true"})
        assert fault.startswith("access: open = true lets everybody in")


def test_the_environment_wins(tmp_path: Path) -> None:
    """A variable overrides the file; lists are separated by commas, sizes may have units."""
    path = tmp_path / "some.toml"
    path.write_text('[freshness]\nrunning_s = 7\nnegative_s = 1\n[log]\nlevel = "debug"\n')
    environ = {
        "PLUTO_PROXY_FRESHNESS__RUNNING_S": "2.5",
        "PLUTO_PROXY_SERVER__ALLOWED_HOSTS": "Cache.Example.org, [::1]",
        "PLUTO_PROXY_CACHE__MEMORY_BYTES": "1MiB",
        "PLUTO_PROXY_CACHE": "~/x.sqlite",
        "PLUTO_PROXY_LISTEN": "0.0.0.0:1",
        "PLUTO_PROXY_ACCESS__OPEN": "true",
    }
    config = load(path, environ).config
    assert config.freshness.running_s == 2.5
    assert config.freshness.negative_s == 1
    assert config.server.allowed_hosts == ("cache.example.org", "::1")
    assert config.cache.memory_bytes == 2**20
    assert config.cache.path == Path.home() / "x.sqlite"


LINKS = {
    "SERVICE_HOST": "10.0.0.1",
    "SERVICE_PORT": "8787",
    "SERVICE_PORT_HTTP": "8787",
    "SERVICE_PORT_HTTP_METRICS": "8787",
    "PORT": "tcp://10.0.0.1:8787",
    "PORT_8787_TCP": "tcp://10.0.0.1:8787",
    "PORT_8787_TCP_PROTO": "tcp",
    "PORT_8787_TCP_PORT": "8787",
    "PORT_8787_TCP_ADDR": "10.0.0.1",
    "PORT_53_UDP_ADDR": "fd00::1",
}


@pytest.mark.parametrize("service", ["", "METRICS_", "SERVER_", "CACHE_PATH_", "1_"])
def test_what_kubernetes_sets_is_no_fault(service: str) -> None:
    """A Service whose name begins with pluto-proxy puts variables with our prefix into every container."""
    loaded = load(None, {f"PLUTO_PROXY_{service}{name}": value for name, value in LINKS.items()})
    assert not loaded.sources


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "8787"),
        ("LISTEN_PORT", "8787"),
        ("METRICS_PORT", ""),
        ("SERVER__PORT", "tcp://10.0.0.1:8787"),
        ("UPSTREAM__SERVICE_HOST", "10.0.0.1"),
        ("LISTENN", "127.0.0.1:80"),
        ("METRICS_PORT_8787", "8787"),
        ("METRICS_PORT_8787_TCPX", "8787"),
        ("METRICS_SERVICE", "10.0.0.1"),
    ],
)
def test_what_looks_like_a_key_of_ours_is_a_fault(name: str, value: str) -> None:
    """A slip, or a guess at a name, isn't taken for one of Kubernetes' variables."""
    assert faults({f"PLUTO_PROXY_{name}": value}) == [
        f"PLUTO_PROXY_{name}: no such key; variables are called PLUTO_PROXY_<SECTION>__<KEY>"
    ]


TEXTS = {
    "PLUTO_PROXY_LISTEN": "127.0.0.1:80",
    "PLUTO_PROXY_UPSTREAM": "https://pluto.example.com",
    "PLUTO_PROXY_CACHE": "/data/cache.sqlite",
    "PLUTO_PROXY_CACHE__LABEL": "team",
    "PLUTO_PROXY_CACHE__MAX_BYTES": "1GiB",
    "PLUTO_PROXY_SERVER__ALLOWED_HOSTS": "a.example.com,b.example.com",
    "PLUTO_PROXY_SERVER__CORS_ORIGINS": "https://grafana.example.com",
    "PLUTO_PROXY_ACCESS__OPEN": "false",
    "PLUTO_PROXY_ACCESS__TOKENS_FILE": "/data/tokens.json",
    "PLUTO_PROXY_ACCESS__NETWORKS": "10.0.0.0/8,fd00::/8",
    "PLUTO_PROXY_ACCESS__TRUSTED_PROXIES": "10.0.0.1",
    "PLUTO_PROXY_UPSTREAM__EXTRA_PARAMS": "colour",
    "PLUTO_PROXY_UPSTREAM__IGNORED_PARAMS": "_,t",
    "PLUTO_PROXY_UPSTREAM__DEADLINE_S": "5.5",
    "PLUTO_PROXY_UPSTREAM__BURST": "5",
    "PLUTO_PROXY_LOG__LEVEL": "info",
    "PLUTO_API_KEY_FILE": "/data/key",
}


@pytest.mark.parametrize("name", TEXTS)
def test_white_space_around_a_variable_is_no_part_of_it(name: str) -> None:
    """A file with CRLF line ends, or a secret made by `echo`, sets what it seems to set."""
    expected = load(None, {name: TEXTS[name]})
    for text in (f"{TEXTS[name]}\r", f"{TEXTS[name]}\n", f" \t{TEXTS[name]} \r\n"):
        assert load(None, {name: text}) == expected


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("quotes", ['""', "''", "``", "\u201c\u201d", '" ', ' "'])
def test_quotation_marks_around_a_variable_are_a_fault(name: str, quotes: str) -> None:
    """docker's --env-file keeps them: they are told, once, rather than taken for a part of a file's or parameter's name."""
    [fault] = faults({name: f"{quotes[0]}{TEXTS[name]}{quotes[1]}"})
    assert fault.startswith(f"{name}: has quotation marks around its value")
    assert "leave them out" in fault


def test_quotation_marks_hide_no_other_fault() -> None:
    """What is wrong between them is told as well, and what is right leads to no second fault."""
    quoted = {"PLUTO_PROXY_ACCESS__NETWORKS": '"10.0.0.0/8"', "PLUTO_PROXY_LISTEN": "0.0.0.0:80"}
    assert len(faults(quoted)) == 1
    assert len(faults({"PLUTO_PROXY_LISTEN": "'80'"})) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cache.path", "'/data/cache.sqlite'"),
        ("cache.path", "/data/cache.sqlite "),
        ("cache.path", "/data\r/cache.sqlite"),
        ("access.tokens_file", '"/data/tokens.json"'),
        ("upstream.extra_params", ['"colour"']),
        ("upstream.extra_params", ["colour\r"]),
        ("upstream.ignored_params", ["_", "\u201ct\u201d"]),
        ("upstream.ignored_params", [""]),
    ],
)
def test_what_no_name_holds(tmp_path: Path, key: str, value: object) -> None:
    """In a file white space and quotation marks within TOML's own would be a part of the name: nobody means that."""
    section, name = key.split(".")
    path = tmp_path / "some.toml"
    path.write_text(f"[{section}]\n{name} = {json.dumps(value)}\n")
    [fault] = faults({}, path)
    assert fault.startswith(key)
    assert "quotation marks" in fault


@pytest.mark.parametrize("text", ['["colour","size"]', "['colour']"])
def test_a_list_of_toml_in_a_variable(text: str) -> None:
    """It isn't taken for names with brackets and quotation marks in them."""
    assert all("quotation marks" in fault for fault in faults({"PLUTO_PROXY_UPSTREAM__EXTRA_PARAMS": text}))


def test_a_file_of_some_editors(tmp_path: Path) -> None:
    """A byte order mark and CRLF line ends are no part of what it says."""
    path = tmp_path / "some.toml"
    path.write_bytes("[cache]\r\nlabel = 'team'\r\n".encode("utf-8-sig"))
    assert load(path, {}).config.cache.label == "team"


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in it is told, with the variable to set; what lies elsewhere needs none."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    [cache] = faults({})
    assert cache == (
        "cache.path: ~/.cache/pluto-proxy/cache.sqlite is in the home directory, and this user has none; "
        "set PLUTO_PROXY_CACHE, or HOME"
    )
    elsewhere = {"PLUTO_PROXY_CACHE": "/data/cache.sqlite"}
    assert load(None, elsewhere).config.cache.path == Path("/data/cache.sqlite")
    told = faults({**elsewhere, "PLUTO_PROXY_ACCESS__TOKENS_FILE": "~/tokens.json", "PLUTO_API_KEY_FILE": "~/key"})
    assert [line.split(":")[0] for line in told] == ["access.tokens_file", "PLUTO_API_KEY_FILE"]
    assert "(set in PLUTO_PROXY_ACCESS__TOKENS_FILE)" in told[0]
    assert all("this user has none" in line for line in told)


@pytest.mark.parametrize("home", ["", "home", "~"])
def test_a_home_that_is_none(home: str) -> None:
    """An empty HOME would be the root directory, a relative one depend on where the proxy was started."""
    [fault] = faults({"HOME": home})
    assert "HOME is no absolute path; set PLUTO_PROXY_CACHE, or HOME" in fault
    load(None, {"HOME": home, "PLUTO_PROXY_CACHE": "/data/cache.sqlite"})


def test_the_home_of_somebody_unknown() -> None:
    """It is told along with all other faults."""
    environ = {"PLUTO_PROXY_CACHE": "~nobody-here/x", "PLUTO_API_KEY_FILE": "~nobody-here/key", "PLUTO_PROXY_LISTEN": "80"}
    told = faults(environ)
    assert [line.split(":")[0] for line in told] == ["server.listen", "cache.path", "PLUTO_API_KEY_FILE"]
    assert all("whom this machine doesn't know" in line for line in told[1:])


@pytest.mark.parametrize("text", ["[server", "a = 1\na = 2", "\xff"])
def test_no_toml(tmp_path: Path, text: str) -> None:
    """A file that is no TOML is told with its name."""
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="latin-1")
    assert faults({}, path)[0].startswith(f"{path}: not valid TOML")
    assert faults({}, tmp_path / "none.toml") == [f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"]


def test_the_key_is_never_rendered() -> None:
    """Neither the configuration as it is printed nor the source's repr holds the key."""
    loaded = load(None, {"PLUTO_API_KEY": " mlpi_secret\n", "PLUTO_PROXY_CACHE__LABEL": "team"})
    assert loaded.key == KeySource(value="mlpi_secret")
    shown = render(loaded)
    assert "secret" not in shown + repr(loaded)
    assert "# shared key: *** from PLUTO_API_KEY\n" in shown
    assert 'label = "team"  # PLUTO_PROXY_CACHE__LABEL\n' in shown


def test_what_is_rendered_can_be_loaded(tmp_path: Path) -> None:
    """The printed configuration is a configuration file."""
    loaded = load(None, {"PLUTO_API_KEY_FILE": "/run/key", "PLUTO_PROXY_SERVER__ALLOWED_HOSTS": "a,b"})
    path = tmp_path / "printed.toml"
    path.write_text(render(loaded))
    assert load(path, {}).config == loaded.config
    assert "PLUTO_API_KEY_FILE (/run/key)" in path.read_text()
    assert "not set" in render(load(None, {}))


def test_listen_addresses() -> None:
    """IPv6 addresses stand in brackets; loopback is told from what others can reach."""
    assert read_address("[::1]:80") == TcpAddress(host="::1", port=80)
    assert [is_loopback(host) for host in ("127.9.9.9", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1")] == [True] * 5
    others = ("0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "", "::ffff:10.0.0.1")  # noqa: S104 -- texts, not bound to
    assert [is_loopback(host) for host in others] == [False] * 6


@pytest.mark.parametrize(
    ("text", "url", "login"),
    [
        ("http://proxy:3128", "http://proxy:3128", None),
        ("HTTP://Proxy.example.com:3128/", "http://proxy.example.com:3128", None),
        ("http://[::1]:3128", "http://[::1]:3128", None),
        ("http://u:p@proxy:1", "http://proxy:1", ("u", "p")),
        ("http://u@proxy:1", "http://proxy:1", ("u", "")),
        ("http://u%40x:p%3A%2F%C3%A4@proxy:1", "http://proxy:1", ("u@x", "p:/ä")),
        ("http://u:p:q@proxy:1", "http://proxy:1", ("u", "p:q")),
    ],
)
def test_a_forward_proxy(text: str, url: str, login: tuple[str, str] | None) -> None:
    """Its address and login are read, and shown without the login."""
    loaded = load(None, {"PLUTO_PROXY_UPSTREAM__PROXY": text, "HTTPS_PROXY": "http://x:1"})
    proxy = loaded.config.upstream.proxy
    assert proxy is not None
    assert (proxy.url, proxy.login) == (url, login)
    shown = url if login is None else url.replace("://", "://***@")
    assert f'proxy = "{shown}"  # PLUTO_PROXY_UPSTREAM__PROXY' in render(loaded)
    assert str(proxy) == shown
    assert "login" not in repr(loaded)
    assert loaded.ignored == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy:3128",
        "http://proxy",
        "http://:3128",
        "http://proxy:0",
        "http://proxy:99999",
        "https://u:SECRET@proxy:3128",
        "socks5://u:SECRET@proxy:1080",
        "http://u:SECRET@proxy:3128/path",
        "http://u:SECRET@proxy:3128?a",
        "http://u:SECRET@proxy:3128#",
        "http://u:SECRET/x@proxy:3128",
        "http://u:SECRET#x@proxy:3128",
        "http://u:SECRET x@proxy:3128",
        "http://u:SECRET%x@proxy:3128",
        "http://u:SECRET%FF@proxy:3128",
        "http://u:SECRET%0A@proxy:3128",
        "http://:SECRET@proxy:3128",
        "http://u%3A:SECRET@proxy:3128",
        "http://u:SECRET\u2100@proxy:3128",
        "http://[SECRET]@proxy:3128",
    ],
)
def test_what_is_no_forward_proxy(text: str) -> None:
    """It is refused, saying what is expected, and nothing of the password is said."""
    (told,) = faults({"PLUTO_PROXY_UPSTREAM__PROXY": text})
    assert told.startswith("upstream.proxy: ")
    assert "SECRET" not in told
    assert "PLUTO_PROXY_UPSTREAM__PROXY" in told


def test_a_password_in_the_upstreams_url_is_not_told() -> None:
    """It has no place there, and a part of it may look like a port."""
    for text in ("https://u:SECRET/x@host", "https://u:SECRET@host", "https://u:SECRET#@host"):
        (told,) = faults({"PLUTO_PROXY_UPSTREAM": text})
        assert "SECRET" not in told


def test_the_file_with_authorities_is_found_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its path is made absolute, a home directory's sign is one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load(None, {"PLUTO_PROXY_UPSTREAM__CA_FILE": "~/ca.pem"}).config
    assert config.upstream.ca_file == tmp_path / "ca.pem"
    assert faults({"PLUTO_PROXY_UPSTREAM__CA_FILE": ""})[0].startswith("upstream.ca_file: must name a file")
