"""What the command line understands, and what the doctor says, without a store or a process."""

import pytest

import nbstream
from nbstream import cli
from nbstream.doctor import installed


@pytest.mark.parametrize(
    "words",
    [
        ["sing"],
        ["show"],
        ["stop"],
        ["show", "a", "b"],
        ["stop", "a", "b", "c"],
        ["clean", "--older-than", "soon"],
        ["clean", "--older-than", "-1"],
        ["clean", "--older-than", "nan"],
        ["demo", "--port", "0"],
        ["demo", "--port", "65536"],
        ["demo", "--port", "http"],
    ],
    ids=" ".join,
)
def test_what_is_not_understood_exits_2(words, capsys):
    """A wrong command line changes nothing: one line on stderr says what is wrong, and the exit code is 2."""
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: nbstream")
    assert "error: " in said.err.splitlines()[-1]


def test_without_a_command_the_commands_are_listed(capsys):
    """`nbstream` alone says what there is; the exit code tells a script that nothing was done."""
    assert cli.main([]) == 2
    said = capsys.readouterr().out
    assert all(f"    {name} " in said for name in ("demo", "list", "show", "stop", "clean", "relay", "doctor"))


def test_version(capsys):
    """`--version` names the program and its version."""
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"nbstream {nbstream.__version__}\n"


@pytest.mark.parametrize("wrong", ["7.0.0", "7.0.1", "5.5.6"])
def test_doctor_names_a_kernel_that_cannot_work(wrong):
    """Version 7.0 loses messages from threads and 5 is too old: a problem, with the command that cures it."""
    check = installed.ipykernel(wrong)
    assert not check.ok
    assert str(check).startswith("problem  ipykernel")
    assert 'pip install --upgrade "ipykernel!=7.0.*"' in str(check)


@pytest.mark.parametrize("right", ["6.29.0", "6.31.0", "7.1.0", "7.4.0", "10.0"])
def test_doctor_accepts_a_kernel_that_works(right):
    """Every other version is fine, those to come too."""
    assert installed.ipykernel(right).ok


def test_doctor_misses_a_package():
    """What is not installed is a problem whose cure can be copied."""
    assert str(installed.ipykernel(None)) == "problem  ipykernel      not installed: pip install ipykernel"


def test_lab_is_bound_to_this_machine(tmp_path):
    """The demo's JupyterLab listens on 127.0.0.1 only, behind a token."""
    from nbstream.cli import demo

    options = demo.lab_options(tmp_path, tmp_path, "secret", port=None, browser=False)
    assert "--ServerApp.ip=127.0.0.1" in options
    assert "--IdentityProvider.token=secret" in options


def test_no_display_no_browser(monkeypatch):
    """Without a display no browser is started: one in the terminal would hide the address."""
    from nbstream.cli import demo

    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not demo.has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert demo.has_display()
