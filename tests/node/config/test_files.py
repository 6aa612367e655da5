"""Reading configuration files."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.config.errors import ConfigFileError
from node.config.files import read_config_file


def write(directory: Path, text: str | bytes, name: str = "node.yaml") -> Path:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("node.yaml", "client:\n  insecure: true\n"),
        ("node.yml", "client: {insecure: true}"),
        ("node.json", '{"client": {"insecure": true}}'),
        ("node.conf", '\t{"client":\t{"insecure": true}}'),
        ("node.conf", "client:\n  insecure: true\n"),
        ("bom.yaml", "\ufeffclient:\n  insecure: true\n"),
    ],
)
def test_both_languages_are_read(tmp_path: Path, name: str, text: str) -> None:
    """YAML and JSON are told apart by the suffix, or by the first character where there is none."""
    assert read_config_file(write(tmp_path, text, name)) == {"client": {"insecure": True}}


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n"])
def test_an_empty_file_is_an_empty_config(tmp_path: Path, text: str) -> None:
    """A file whose lines are all commented out leaves the defaults."""
    assert read_config_file(write(tmp_path, text)) == {}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "client:\n\tinsecure: true\n", "line 2, column 1: a tab"),
        ("a.yaml", "client:\n  insecure: [\n", "line 3, column 1"),
        (
            "a.yaml",
            "client: 1\nlog: 2\nclient: 3\n",
            "line 3, column 1: the key `client` is given twice, first",
        ),
        ("a.yaml", "log:\n  level: info\n  level: debug\n", "line 3, column 3: the key `level`"),
        ("a.yaml", "a: 1\n---\nb: 2\n", "line 2, column 1: a second document"),
        ("a.yaml", "- client\n", "expected sections"),
        ("a.yaml", "just text", "expected sections"),
        ("a.yaml", "{[a]: 1}", "line 1"),
        ("a.yaml", "a: \x07", "escape"),
        ("a.yaml", f"a: {'9' * 5000}", "put it in quotes"),
        ("a.yaml", "[" * 5000, "nested too deep"),
        ("a.json", '{"a": 1,\n "a": 2}', "`a` is given twice"),
        ("a.json", '{"a": 1,}', "line 1, column"),
        ("a.json", '{"a": NaN}', "NaN is not JSON"),
        ("a.json", '{"a": %s}' % ("9" * 5000), "too many digits"),
        ("a.json", "[" * 100_000, "nested too deep"),
        ("a.json", "[]", "expected sections"),
        ("a.yaml", b"a: \xff", "byte 3 is not UTF-8"),
    ],
)
def test_a_bad_file_is_told_where(tmp_path: Path, name: str, text: str | bytes, said: str) -> None:
    """The message names the file, the place where there is one, and what was wrong."""
    path = write(tmp_path, text, name)
    with pytest.raises(ConfigFileError) as caught:
        read_config_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize("value", ["*hunter2", "!hunter2", "&hunter2 *hunter3", "[hunter2", "@hunter2"])
def test_an_unquoted_password_is_not_repeated(tmp_path: Path, value: str) -> None:
    """A password that YAML takes for syntax does not end up in the error, and so in a log."""
    with pytest.raises(ConfigFileError) as caught:
        read_config_file(write(tmp_path, f"password: {value}\n"))
    assert "hunter" not in str(caught.value)


def test_dates_stay_text(tmp_path: Path) -> None:
    """No option is a date, and an impossible one is no parse error."""
    assert read_config_file(write(tmp_path, "a: 2020-99-99\nb: 2020-01-01")) == {
        "a": "2020-99-99",
        "b": "2020-01-01",
    }


def test_missing_files_and_directories_say_so(tmp_path: Path) -> None:
    """The system's reason is in the message."""
    with pytest.raises(ConfigFileError, match=r"absent\.yaml: cannot be read: No such file"):
        read_config_file(tmp_path / "absent.yaml")
    with pytest.raises(ConfigFileError, match="cannot be read"):
        read_config_file(tmp_path)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="ab:- \n\t{}[]\",'&*!|>%@`#0.\\~<=?", max_size=40), suffix=st.sampled_from("yj"))
def test_garbage_raises_config_file_errors_only(tmp_path: Path, text: str, suffix: str) -> None:
    """Whatever a file holds, the answer is a mapping or a ConfigFileError."""
    with suppress(ConfigFileError):
        read_config_file(write(tmp_path, text, {"y": "x.yaml", "j": "x.json"}[suffix]))
