"""Trace files of each layout, and what is said of files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from windtunnel.errors import InvalidInputError
from windtunnel.sim.serving.request import Request
from windtunnel.sim.serving.trace import First, Trace, read_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
OWN = "arrival_s,input_tokens,output_tokens\n"


def written(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(trace: Trace) -> list[tuple[float, int, int]]:
    return [(round(r.arrival_s, 6), r.input_tokens, r.output_tokens) for r in trace.read()]


def test_azure(tmp_path: Path) -> None:
    rows = "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
    trace = read_trace(written(tmp_path, AZURE + rows))
    assert read(trace) == [(0.0, 374, 44), (4.314579, 396, 109)]
    assert (trace.layout.name, trace.requests, trace.isl, trace.osl, trace.longest) == ("azure", 2, 385.0, 76.5, 505)
    with_zone = "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01.009930+00:00,7,5\n"
    assert read(read_trace(written(tmp_path, AZURE + with_zone))) == [(0.0, 2162, 5), (1.0, 7, 5)]


def test_burstgpt_leaves_out_what_failed(tmp_path: Path) -> None:
    rows = "5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,0,1087,API log\n118,GPT-4,417,276,693,Conversation log\n"
    trace = read_trace(written(tmp_path, BURST + rows))
    assert read(trace) == [(0.0, 472, 18), (113.0, 417, 276)]
    assert (trace.layout.name, trace.skipped) == ("burstgpt", 1)


def test_mooncake(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]},
        {"timestamp": 3000, "input_length": 7319, "output_length": 490, "hash_ids": [0, 15]},
    ]
    trace = read_trace(written(tmp_path, "".join(f"{json.dumps(row)}\n" for row in rows), "trace.jsonl"))
    first, second = trace.read()
    assert first == Request(0.0, 6758, 500, (0, 1, 2), 512)
    assert second == Request(3.0, 7319, 490, (0, 15), 512)


def test_ones_own_table_with_shared_prefixes(tmp_path: Path) -> None:
    text = (
        "output_tokens, arrival_s,input_tokens,prefix_id,prefix_tokens\n5,1.5,100,a,64\n6,1.5,100,,\n7,2,90,b,32\n8,2,90,a,64\n"
    )
    a, plain, b, again = read_trace(written(tmp_path, text)).read()
    assert (a.arrival_s, a.input_tokens, a.output_tokens, a.segment_tokens) == (0.0, 100, 5, 64)
    assert plain.prefix == ()
    assert a.prefix == again.prefix != b.prefix


def test_the_first_of_a_trace(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, OWN + "".join(f"{i},10,10\n" for i in range(100))))
    some = First(trace, 7)
    source, taken = some.source(0), 0
    while source.next_s < float("inf"):
        assert source.take().arrival_s == taken
        taken += 1
    assert (taken, some.requests) == (7, 7)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("a,b,c\n1,2,3\n", "no known columns"),
        (OWN, "holds no request"),
        ("arrival_s,input_tokens\n1,2\n", "no column output_tokens"),
        ("TIMESTAMP,ContextTokens\n2023-11-16 18:15:46,3\n", "no column GeneratedTokens"),
        ("arrival_s,input_tokens,output_tokens,arrival_s\n1,2,3,4\n", "column arrival_s is there twice"),
        (OWN + "-1,2,3\n", "line 2: -1 s is a negative time"),
        (OWN + "5,2,3\n4.5,2,3\n", r"line 3: 4.5 s is before the line above \(5 s\); sort the file by time"),
        (OWN + "0,2,3\n1,2,-3\n", "line 3: output_tokens '-3' is not a whole number of tokens"),
        (OWN + "0,2.5,3\n", "line 2: input_tokens '2.5' is not a whole number"),
        (OWN + "0,0,3\n", "line 2: 0 tokens in, 3 out; at least 1 of each"),
        (OWN + "12ms,2,3\n", "line 2: arrival_s '12ms' is not a number of seconds"),
        (OWN + "nan,2,3\n", "line 2: arrival_s 'nan' is not a time"),
        (OWN + "1e999,2,3\n", "line 2: arrival_s '1e999' is not a time"),
        (OWN + "0,99999999999,3\n", "line 2: input_tokens 99999999999; at most 10,000,000 tokens"),
        (OWN + "0,5\n", "line 2: has no output_tokens"),
        (AZURE + "yesterday,5,5\n", "line 2: TIMESTAMP 'yesterday' is not a time"),
        ("arrival_s,input_tokens,output_tokens,prefix_id\n0,5,5,a\n", "prefix_id and prefix_tokens belong together"),
        ("arrival_s,input_tokens,output_tokens,prefix_id,prefix_tokens\n0,5,5,a,9\n", "prefix_tokens 9 is more than the 5"),
        ('{"timestamp": 1, "input_length": 5}\n', "line 1: has no output_length"),
        ('{"timestamp": 1, "input_length": 5, "output_length": "x"}\n', "line 1: timestamp, input_length"),
        ('{"timestamp": 1\n', "line 1: is not a JSON object"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        read_trace(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_two_units_of_time_in_one_file(tmp_path: Path) -> None:
    seconds = [f"{i / 10},100,10\n" for i in range(200)]
    milliseconds = [f"{1000 * i / 10:.0f},100,10\n" for i in range(200, 400)]
    with pytest.raises(InvalidInputError, match=r"line 202: times jump from 19.9 s to 20,000 s .*two units of time"):
        read_trace(written(tmp_path, OWN + "".join(seconds + milliseconds)))
    night = [f"{20_000 + i / 10},100,10\n" for i in range(200)]
    assert read_trace(written(tmp_path, OWN + "".join(seconds + night))).requests == 400


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(b"\xff\xfe\x00\x01" * 50)
    with pytest.raises(InvalidInputError):
        read_trace(path)
