"""Commands end, and say what went wrong in one line."""

import os
import signal
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline.client.runtimes.commands import MAX_ANSWER, CommandFailedError, CommandMissingError, Program
from pipeline.client.runtimes.contract import ContainerRuntimeError
from pipeline.client.runtimes.inspected import pull
from pipeline.oci.fields import Fields

SH = Program(command=("sh", "-c"), environment={"PATH": os.environ["PATH"], "SEEN": "yes"})


def test_a_command_sees_its_environment_and_no_shell_reads_its_arguments() -> None:
    assert SH.ask('printf "%s $1 ${HOME-none}" "$SEEN"', "sh", "$(id); *") == b"yes $(id); * none"


def test_a_missing_command_is_named() -> None:
    with pytest.raises(CommandMissingError, match=r"^the command no-such-runtime is not in PATH; install it"):
        Program(command=("no-such-runtime",), environment={"PATH": os.environ["PATH"]}).ask("pull")


def test_a_failure_tells_the_last_line_of_the_messages() -> None:
    with pytest.raises(CommandFailedError) as caught:
        SH.ask("echo first >&2; printf 'Error: \\033[31mno such image\\n\\n' >&2; echo answer; exit 125")
    assert caught.value.problem == "Error: \033[31mno such image"
    assert str(caught.value).endswith(": Error: \\x1b[31mno such image")


def test_a_failure_without_a_message_tells_the_code() -> None:
    with pytest.raises(CommandFailedError, match=r"ended with 3$"):
        SH.ask("exit 3")


def test_a_failure_shows_no_more_than_a_line_of_messages() -> None:
    with pytest.raises(CommandFailedError) as caught:
        SH.ask("yes no | head -c 100000 | tr '\\n' ' ' >&2; exit 1")
    assert len(str(caught.value)) < 1000


def test_a_command_that_takes_too_long_is_ended() -> None:
    with pytest.raises(CommandFailedError, match="was ended after 0 seconds"):
        SH.ask("exec sleep 60", seconds=0.2)


def test_a_command_that_does_not_read_is_ended() -> None:
    def feed(stream: BinaryIO) -> None:
        for _ in range(64):
            stream.write(bytes(1 << 16))

    with pytest.raises(CommandFailedError, match="was ended after 0 seconds"):
        SH.ask("exec sleep 60", seconds=0.2, feed=feed)


def test_an_interrupt_ends_the_command(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def interrupted() -> None:
        with SH.reading(f"echo $$ >{pid}; echo; exec sleep 60") as stream:
            assert stream.readline() == b"\n"
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_what_is_left_in_the_background_is_not_waited_for() -> None:
    left = int(SH.ask("sleep 60 & echo $!", seconds=30))
    os.kill(left, signal.SIGKILL)


def test_an_answer_has_a_limit() -> None:
    with pytest.raises(CommandFailedError, match="answers with more than 16,777,216 bytes"):
        SH.ask(f"head -c {MAX_ANSWER + 1} /dev/zero")


def test_a_command_is_fed() -> None:
    assert SH.ask("cat", feed=lambda stream: _write(stream, b"x" * 200_000)) == b"x" * 200_000


def test_a_command_that_has_read_enough_is_no_failure() -> None:
    assert SH.ask("head -c 1", feed=lambda stream: _write(stream, b"x" * 2_000_000)) == b"x"


def test_a_failure_to_feed_ends_the_command() -> None:
    def feed(_: BinaryIO) -> None:
        raise FileNotFoundError("the layer")

    with pytest.raises(CommandFailedError, match=r"exec cat: cannot be given what it reads: the layer$"):
        SH.ask("exec cat", feed=feed)


def test_a_list_of_json_objects_is_read() -> None:
    def read(fields: Fields) -> str:
        return fields.text("Id")

    assert SH.ask_json('echo \'[{"Id":"a"},\'; echo \'{"Id":"b"}]\'', read=read) == ("a", "b")
    assert SH.ask_json("echo '[]'", read=read) == ()
    for answer in ("nonsense", '[{"Id":1}]', '{"Id":"a"}', "[1]", "", '[], "Id": "a"}, {'):
        with pytest.raises(ContainerRuntimeError, match="answers what cannot be read"):
            SH.ask_json(f"echo '{answer}'", read=read)


def _write(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)


def test_a_runtime_that_has_nothing_of_what_it_pulled_is_told() -> None:
    nothing = Program(command=("sh", "-c", "echo '[]'", "sh"), environment={"PATH": os.environ["PATH"]})
    with pytest.raises(CommandFailedError, match=r"image inspect host/app:1: answers with 0 images instead of one$"):
        pull(nothing, "host/app:1")
