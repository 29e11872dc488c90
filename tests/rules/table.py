"""The main chips by hand: what the rules make of each. Computed from public data sheets, apart from this program.

In the last columns ``*`` of the collected table is left out: that a chip is no US item is a test of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

TABLE = """
V100 SXM2 32GB | 2000 | fp16 | 815 | 2.45 | 900 | 332 | no | none | no | n/a
A100 SXM4 80GB | 4992 | bf16 | 826 | 6.04 | 2039 | 664 | yes | 3A090.a.1 | dram sum | case
A800 SXM4 80GB | 4992 | bf16 | 826 | 6.04 | 2039 | 464 | no | 3A090.a.1 | dram sum | case
H100 SXM5 80GB | 15832 | bf16 | 814 | 19.45 | 3350 | 1028 | yes | 3A090.a.1 | dram sum | case
H800 SXM5 80GB | 15832 | fp8 | 814 | 19.45 | 3350 | 528 | no | 3A090.a.1 | dram sum | case
H20 96GB | 2368 | bf16 | 814 | 2.91 | 4000 | 1028 | no | none | dram sum | n/a
H20 141GB | 2368 | bf16 | 814 | 2.91 | 4800 | 1028 | no | none | dram sum | n/a
H200 SXM 141GB | 15832 | bf16 | 814 | 19.45 | 4800 | 1028 | yes | 3A090.a.1 | dram sum | case
B100 SXM | 28000 | bf16 | 1600 | 17.5 | 8000 | 1928 | yes | 3A090.a.1 | dram io sum | denial
B200 SXM | 36000 | bf16 | 1600 | 22.5 | 7700 | 1928 | yes | 3A090.a.1 | dram io sum | denial
B300 SXM | 54000 | fp4 | 1600 | 33.75 | 7700 | 2056 | yes | 3A090.a.1 | dram io sum | denial
GB200 (per GPU) | 40000 | bf16 | 1600 | 25.0 | 8000 | 1928 | yes | 3A090.a.1 | dram io sum | denial
GB300 (per GPU) | 60000 | fp4 | 1600 | 37.5 | 8000 | 2056 | yes | 3A090.a.1 | dram io sum | denial
L40S | 5864 | fp8 | 608.5 | 9.64 | 864 | 64 | no | 3A090.a.1 | no | case
L20 | 1914 | fp32 | 609 | 3.14 | 864 | 64 | no | none | no | n/a
RTX 4090 | 5285 | fp16 | 608.5 | 8.69 | 1008 | 64 | no | NAC | no | case
RTX 4090D | 4706 | fp16 | 608.5 | 7.73 | 1008 | 64 | no | Note 2 | no | n/a
RTX 5090 | 6707 | fp16 | 750 | 8.94 | 1792 | 128 | no | NAC | dram sum | case
RTX 5090D V2 | 4750 | int8 | 750 | 6.33 | 1344 | 128 | no | Note 2 | no | n/a
RTX PRO 6000 Blackwell | 8061 | bf16 | 750 | 10.75 | 1792 | 128 | no | 3A090.a.1 | dram sum | case
RTX PRO 6000D | ? | | 750 | ? | 1398 | 128 | no | compute | no | n/a
MI250X | 6128 | bf16 | 1448 | 4.23 | 3277 | 864 | yes | 3A090.a.1 | dram sum | case
MI300X | 20919 | bf16 | 2400 | 8.72 | 5300 | 1024 | yes | 3A090.a.1 | dram sum | case
MI308X | 3014 | bf16 | 2400 | 1.26 | 5300 | 1024 | no | none | dram sum | n/a
MI325X | 20919 | bf16 | 2400 | 8.72 | 6000 | 1024 | yes | 3A090.a.1 | dram sum | case
MI355X | 60398 | fp6 | ? | ? | 8000 | 1203.2 | yes | 3A090.a.1 | dram io sum | denial
Gaudi2 | 6920 | fp8 | ? | ? | 2450 | 589 | no | 3A090.a.1 | dram sum | case
Gaudi3 | 26848 | bf16 | ? | ? | 3700 | 1178 | yes | 3A090.a.1 | dram io sum | denial
Ascend 910A | 4096 | fp16 | 624 | 6.56 | 1200 | 244 | no | 3A090.a.2 | no | case
Ascend 910B1 | 6400 | bf16 | 665.6 | 9.62 | 1600 | 392 | no | 3A090.a.1 | dram sum | case
Ascend 910B2 | 6016 | bf16 | 665.6 | 9.04 | 1600 | 392 | no | 3A090.a.1 | dram sum | case
Ascend 910B3 | 5008 | bf16 | 665.6 | 7.52 | 1600 | 392 | no | 3A090.a.1 | dram sum | case
Ascend 910B4 | 4480 | bf16 | 665.6 | 6.73 | 800 | 392 | no | 3A090.a.2 | no | case
Ascend 910C | 12800 | bf16 | 1331 | 9.62 | 3200 | 912 | yes | 3A090.a.1 | dram sum | case
Atlas 350 | 6800 | bf16 | ? | ? | 1400 | 2128 | yes | 3A090.a.1 | dram io sum | case
Ascend 950PR | 8752 | bf16 | ? | ? | 1600 | 2128 | yes | 3A090.a.1 | dram io sum | case
Ascend 950DT | 8752 | bf16 | ? | ? | 4000 | 2128 | yes | 3A090.a.1 | dram io sum | case
Ascend 960 | 16000 | fp8 | ? | ? | 9600 | 2200 | yes | 3A090.a.1 | dram io sum | denial
MLU590 | 4493 | bf16 | ? | ? | 2000 | 428 | no | area | dram sum | n/a
MTT S4000 | 1600 | bf16 | ? | ? | 768 | 368 | no | area | no | n/a
MTT S5000 | 8000 | bf16 | ? | ? | 1600 | 784 | yes | 3A090.a.1 | dram sum | case
BR100 | 16384 | bf16 | 1074 | 15.26 | 1640 | 640 | yes | 3A090.a.1 | dram sum | case
Kunlun P800 | 5520 | bf16 | ? | ? | 1600 | 328 | no | 3A090.a.1 | dram sum | case
C500 PCIe | 3840 | bf16 | ? | ? | 1800 | 128 | no | area | dram sum | n/a
BI-V150 | 3040 | bf16 | ? | ? | 1600 | 64 | no | area | dram | n/a
"""
"""chip | TPP | one precision that makes it | area mm2 | PD | DRAM GB/s | I/O GB/s | 2022 | class of 2023 | letter | January 2026

The collected table leaves 2022 open for the RTX PRO 6000D, whose TPP nobody published; 128 GB/s of I/O alone decide it.
It prints 4750 of the RTX 5090D V2 as FP8; the catalogue holds the same rate as INT8, since PyTorch's FP8 runs at half."""


@dataclass(frozen=True)
class Row:
    chip: str
    tpp: float | None
    precision: str
    area: float | None
    pd: float | None
    dram: float
    io: float
    controlled_2022: bool
    eccn: str
    letter: frozenset[str]
    review: str


def _number(text: str) -> float | None:
    return None if text == "?" else float(text)


def rows() -> list[Row]:
    found = []
    for line in TABLE.strip().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        letter = frozenset(cells[9].split()) - {"no"}
        found.append(
            Row(
                cells[0], _number(cells[1]), cells[2], _number(cells[3]), _number(cells[4]), float(cells[5]), float(cells[6]),
                cells[7] == "yes", cells[8], letter, cells[10],
            )
        )  # fmt: skip
    return found
