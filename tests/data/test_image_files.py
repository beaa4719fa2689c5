"""Tests of finding image files and of reading them as images of a data set."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cnn_experiments.data.image_files import (
    ImageFileError,
    border_color,
    convert_image_for,
    find_image_files,
    read_image,
    read_image_for,
)
from cnn_experiments.data.transforms import resize
from cnn_experiments.errors import ConfigError
from cnn_experiments.training.build import build_data
from tests.conftest import compose_settings

SIZE = 28


@pytest.fixture(scope="module")
def gray() -> Tensor:
    return torch.randint(0, 256, (1, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def rgb() -> Tensor:
    return torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def to_pil(image: Tensor) -> Image.Image:
    return Image.fromarray(image.movedim(0, -1).squeeze(-1).numpy())


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def save_lossless(image: Image.Image, path: Path) -> Path:
    return save(image, path, lossless=True) if path.suffix == ".webp" else save(image, path)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


# Reading


@pytest.mark.parametrize(
    ("suffix", "modes"),
    [
        (".png", ["L", "LA", "P", "RGB", "RGBA"]),
        (".gif", ["L", "P"]),
        (".bmp", ["L", "P", "RGB", "RGBA"]),
        (".webp", ["L", "LA", "RGB", "RGBA"]),
        (".tif", ["L", "LA", "P", "RGB", "RGBA"]),
        (".ppm", ["L", "RGB"]),
    ],
)
def test_gray_image_of_native_size_is_read_bit_for_bit(
    tmp_path: Path, gray: Tensor, suffix: str, modes: list[str]
) -> None:
    for mode in modes:
        path = save_lossless(to_pil(gray).convert(mode), tmp_path / f"{mode}{suffix}")
        assert torch.equal(read_image(path, channels=1, size=SIZE), gray), mode
        assert torch.equal(read_image(path, channels=3, size=SIZE), gray.expand(3, -1, -1)), mode


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp"])
def test_color_image_of_native_size_is_read_bit_for_bit(tmp_path: Path, rgb: Tensor, mode: str, suffix: str) -> None:
    path = save_lossless(to_pil(rgb).convert(mode), tmp_path / f"image{suffix}")
    assert torch.equal(read_image(path, channels=3, size=SIZE), rgb)
    expected = torch.from_numpy(np.array(to_pil(rgb).convert("L"))).unsqueeze(0)
    assert torch.equal(read_image(path, channels=1, size=SIZE), expected)


def test_16_bit_image_is_scaled_to_8_bits(tmp_path: Path) -> None:
    pixels = np.array([[0, 128, 129], [257, 385, 386], [32767, 65534, 65535]], dtype=np.uint16)
    path = save(Image.fromarray(pixels), tmp_path / "deep.png")
    assert read_image(path, channels=1, size=3).tolist() == [[[0, 0, 1], [1, 1, 2], [127, 255, 255]]]


@pytest.mark.parametrize(
    ("pixel", "dtype", "expected"),
    [
        (257 * 200, np.int32, 200),
        (70_000, np.int32, 255),
        (12.6, np.float32, 13),
        (-5, np.float32, 0),
        (np.nan, np.float32, 0),
    ],
)
def test_image_in_memory_of_other_numbers_is_scaled_or_rounded(pixel: float, dtype: type, expected: int) -> None:
    data = build_data(compose_settings("data=digits"))
    image = Image.fromarray(np.full((8, 8), pixel, dtype=dtype))
    assert image.mode in ("I", "F")
    assert convert_image_for(data, image).unique().tolist() == [expected]


def test_black_and_white_image_is_read_as_0_and_255(tmp_path: Path) -> None:
    path = save(Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8)).convert("1"), tmp_path / "bits.png")
    assert read_image(path, channels=1, size=2).tolist() == [[[0, 255], [255, 0]]]


def test_cmyk_image_is_read_as_rgb(tmp_path: Path) -> None:
    path = save(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), tmp_path / "print.jpg", quality=100)
    assert read_image(path, channels=3, size=8)[:, 4, 4].tolist() == pytest.approx([0, 255, 255], abs=2)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparent_pixels_show_the_background(tmp_path: Path, mode: str) -> None:
    pixels = np.array([[[200, 255], [200, 0]], [[100, 51], [0, 255]]], dtype=np.uint8)  # gray, opacity
    if mode == "P":
        image = Image.fromarray(pixels[..., 0])
        image.putpalette([value for value in range(256) for _ in range(3)])
        image.info["transparency"] = bytes(0 if value == 200 else 255 for value in range(256))
        path = save(image, tmp_path / "image.png", transparency=image.info["transparency"])
        expected = {0: [[0, 0], [100, 0]], 255: [[255, 255], [100, 0]]}
    else:
        path = save(Image.fromarray(pixels, "LA").convert(mode), tmp_path / "image.png")
        expected = {0: [[200, 0], [20, 0]], 255: [[200, 255], [224, 0]]}  # 100 * 0.2 and 100 * 0.2 + 255 * 0.8
    for background, values in expected.items():
        assert read_image(path, channels=1, size=2, background=background).tolist() == [values]


def test_inverting_exchanges_dark_and_light_but_not_the_background(tmp_path: Path) -> None:
    pixels = np.array([[[0, 255], [0, 0]], [[90, 255], [255, 255]]], dtype=np.uint8)  # gray, opacity
    path = save(Image.fromarray(pixels, "LA"), tmp_path / "drawing.png")
    assert read_image(path, channels=1, size=2, invert=True).tolist() == [[[255, 0], [165, 0]]]
    assert read_image(path, channels=1, size=2, background=255, invert=True).tolist() == [[[255, 255], [165, 0]]]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_first_frame_of_an_animation_is_read(tmp_path: Path, gray: Tensor, suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    path = tmp_path / f"animation{suffix}"
    save(to_pil(gray), path, save_all=True, append_images=[to_pil(255 - gray)], **options)
    with Image.open(path) as animation:
        assert animation.n_frames == 2
    assert torch.equal(read_image(path, channels=1, size=SIZE), gray)


def test_orientation_of_the_camera_is_applied(tmp_path: Path, gray: Tensor) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees to the left
    path = save(to_pil(gray), tmp_path / "photo.png", exif=exif)
    assert torch.equal(read_image(path, channels=1, size=SIZE), gray.rot90(-1, (1, 2)))


def test_damaged_orientation_is_ignored(tmp_path: Path, gray: Tensor) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(to_pil(gray), tmp_path / "photo.webp", lossless=True, exif=exif)
    orientation = bytes.fromhex("0112 0003 00000001 0006")
    assert path.read_bytes().count(orientation) == 1
    path.write_bytes(path.read_bytes().replace(orientation, bytes.fromhex("0112 0003 00ffffff 0006")))
    assert torch.equal(read_image(path, channels=1, size=SIZE), gray)


def test_smaller_image_is_enlarged_as_in_training(tmp_path: Path, rgb: Tensor) -> None:
    path = save(to_pil(rgb), tmp_path / "image.png")
    assert torch.equal(read_image(path, channels=3, size=96), resize(rgb.unsqueeze(0), 96)[0])


def test_larger_image_is_reduced_with_antialiasing(tmp_path: Path, gray: Tensor) -> None:
    path = save(to_pil(gray).resize((SIZE * 5, SIZE * 5), Image.Resampling.NEAREST), tmp_path / "large.png")
    reduced = read_image(path, channels=1, size=SIZE).int()
    exact = resize(resize_nearest(gray, 5).unsqueeze(0), SIZE)[0].int()
    assert (reduced - exact).abs().max() <= 1  # Pillow and torchvision round differently when they reduce


def resize_nearest(image: Tensor, factor: int) -> Tensor:
    return image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


@pytest.mark.parametrize("width_and_height", [(14, 28), (28, 14), (56, 112)])
def test_image_that_is_not_square_is_padded_with_the_color_of_its_border(
    tmp_path: Path, width_and_height: tuple[int, int]
) -> None:
    image = Image.new("RGB", width_and_height, (10, 20, 30))
    image.putpixel((width_and_height[0] // 2, 0), (255, 255, 255))
    path = save(image, tmp_path / "bar.png")
    pixels = read_image(path, channels=3, size=SIZE)
    assert pixels.shape == (3, SIZE, SIZE)
    assert [pixels[:, y, x].tolist() for y, x in ((0, 0), (27, 27), (14, 14))] == [[10, 20, 30]] * 3


def test_padding_keeps_the_image_in_the_middle(tmp_path: Path, gray: Tensor) -> None:
    path = save(to_pil(gray[:, :, :13]), tmp_path / "narrow.png")
    pixels = read_image(path, channels=1, size=SIZE)
    assert torch.equal(pixels[:, :, 7:20], gray[:, :, :13])
    assert (
        pixels[:, :, :7].unique().tolist()
        == pixels[:, :, 20:].unique().tolist()
        == border_color(gray[:, :, :13]).tolist()
    )


def test_thin_line_takes_no_memory_of_a_square(tmp_path: Path) -> None:
    path = save(Image.new("L", (60_000, 1), 7), tmp_path / "line.png")
    assert read_image(path, channels=1, size=SIZE).unique().tolist() == [7]


def test_photograph_is_read_at_a_reduced_scale(tmp_path: Path) -> None:
    gradient = Image.linear_gradient("L").resize((1024, 1024), Image.Resampling.BILINEAR)
    path = save(gradient, tmp_path / "photo.jpg", quality=95)
    exact = torch.from_numpy(np.array(gradient.resize((SIZE, SIZE), Image.Resampling.BILINEAR))).int()
    assert (read_image(path, channels=1, size=SIZE)[0].int() - exact).abs().max() <= 2


def test_border_color_is_the_median_of_the_outer_pixels() -> None:
    image = torch.full((1, 5, 5), 200, dtype=torch.uint8)
    image[:, 1:-1, 1:-1] = 0
    image[:, 0] = 9
    assert border_color(image).tolist() == [200]


# Files that can't be read


def read_problem(path: Path) -> str:
    with pytest.raises(ImageFileError) as caught:
        read_image(path, channels=1, size=SIZE)
    problem = str(caught.value)
    assert "\n" not in problem
    assert str(path.parent) not in problem
    return problem


def test_text_file_and_empty_file_are_no_images(tmp_path: Path) -> None:
    text, empty = tmp_path / "text.png", tmp_path / "empty.png"
    text.write_text("%!PS\nnot an image\n")
    empty.touch()
    expected = "not a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM image, or damaged at its beginning"
    assert read_problem(text) == read_problem(empty) == expected


def test_format_that_executes_a_program_is_not_read(tmp_path: Path) -> None:
    path = save(Image.new("L", (8, 8)), tmp_path / "script.eps")
    path = path.rename(tmp_path / "script.png")
    assert read_problem(path).startswith("not a PNG")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".webp"])
def test_truncated_image_is_damaged(tmp_path: Path, gray: Tensor, suffix: str) -> None:
    path = save(to_pil(gray), tmp_path / f"image{suffix}")
    content = path.read_bytes()
    for length in (len(content) // 2, len(content) * 3 // 4):
        path.write_bytes(content[:length])
        assert read_problem(path).startswith("damaged: ")


def test_every_changed_byte_of_the_pixels_of_a_png_is_noticed(tmp_path: Path, gray: Tensor) -> None:
    path = save(to_pil(gray), tmp_path / "image.png")
    content = path.read_bytes()
    start = content.index(b"IDAT") + 4
    for position in range(start, start + 60):
        path.write_bytes(content[:position] + bytes([content[position] ^ 16]) + content[position + 1 :])
        assert read_problem(path).startswith("damaged: ")


def test_image_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    for side in (10_000, 50_000):

        def chunk(kind: bytes, content: bytes) -> bytes:
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        assert read_problem(path) == "too large: an image may have 89,478,485 pixels"


def test_fifo_and_folder_and_missing_file_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    assert read_problem(tmp_path / "pipe.png") == "must be a regular file"
    assert read_problem(tmp_path / "folder.png") == "must be a regular file"
    assert read_problem(tmp_path / "missing.png") == "No such file or directory"


# Finding


def found(source: Path | str, folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in find_image_files(str(source)).paths]


def test_folder_is_searched_recursively_in_natural_order(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("10.png", "2.PNG", "1.jpeg", "a/b/3.webp", "a/20.gif", "a/3.bmp", "B.jpg")))
    touch(*(tmp_path / name for name in ("notes.txt", ".hidden.png", ".cache/1.png", "noextension", "1.svg")))
    (tmp_path / "folder.png").mkdir()
    expected = ["1.jpeg", "2.PNG", "10.png", "B.jpg", "a/3.bmp", "a/20.gif", "a/b/3.webp"]
    assert found(tmp_path, tmp_path) == expected


def test_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    names = ["image.dat", "a,b=[c]*.png", "zwei\nLinien ü.png", "[bold]x[/bold].png", "image"]
    touch(*(tmp_path / name for name in names))
    for name in names:
        assert found(tmp_path / name, tmp_path) == [name]


def test_pattern_matches_images_only(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("x1.png", "x10.png", "x2.png", "y1.png", "x1.txt", "a/x3.png", "a/b/x4.png")))
    assert found(tmp_path / "x*", tmp_path) == ["x1.png", "x2.png", "x10.png"]
    assert found(tmp_path / "**" / "x[34].png", tmp_path) == ["a/b/x4.png", "a/x3.png"]
    assert found(tmp_path / "a" / "**", tmp_path) == ["a/b/x4.png", "a/x3.png"]
    assert found(tmp_path / "[a]" / "*" / "x4.png", tmp_path) == ["a/b/x4.png"]


def test_hidden_files_and_loops_of_links_are_left_out(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a/1.png", "a/.2.png", ".b/3.png")))
    for name in ("loop", "again", "a/loop"):
        (tmp_path / name).symlink_to(tmp_path, target_is_directory=True)
    assert found(tmp_path, tmp_path) == found(tmp_path / "**", tmp_path) == ["a/1.png"]
    assert found(tmp_path / "**" / "*.png", tmp_path) == ["a/1.png"]


def test_relative_path_stays_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "images" / "1.png")
    monkeypatch.chdir(tmp_path)
    assert find_image_files("images").paths == find_image_files("images/*").paths == [Path("images/1.png")]


def test_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "1.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_image_files("~/1.png").paths == [tmp_path / "1.png"]


def test_files_that_are_no_images_are_counted(tmp_path: Path) -> None:
    images = tmp_path / "images"
    touch(*(images / name for name in ("1.png", "2.heic", "a/noextension", "3.svg", ".hidden", ".cache/1.txt")))
    (images / "folder").mkdir()
    formats = "images are PNG, JPEG, GIF, BMP, WebP, TIFF or PPM"
    for source, line in {
        images: f"3 other files in {images} are left out; {formats}",
        images / "*": f"2 other files matched by {images}/* are left out; {formats}",
        images / "[12].*": f"1 other file matched by {images}/[12].* is left out; {formats}",
        images / "*.png": None,
        images / "1.png": None,
    }.items():
        assert find_image_files(str(source)).left_out == line


def input_error(source: Path | str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        find_image_files(str(source))
    assert caught.value.key == "input"
    return caught.value


def test_missing_file_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "boot.png", tmp_path / "images" / "boots.sh")
    problem = "must be an image, a folder of images or a pattern such as 'images/*.png'; there is no such file"
    error = input_error(tmp_path / "images" / "boots.png")
    assert (error.problem, error.suggestion) == (problem, str(tmp_path / "images" / "boot.png"))
    assert input_error(tmp_path / "image" / "boot.png").suggestion == str(tmp_path / "images")
    assert input_error(tmp_path / "images" / "boot.png" / "x").suggestion == str(tmp_path / "images" / "boot.png")


def test_folder_or_pattern_without_an_image_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    endings = ".png, .jpg, .jpeg, .gif, .bmp, .webp, .tif, .tiff, .ppm, .pgm, .pbm"
    folder = f"must be a folder with images; there is no {endings} in it or in its subfolders"
    assert input_error(tmp_path).problem == folder
    assert input_error(tmp_path / "*.txt").problem == f"must be a pattern that matches images; it matches no {endings}"


@pytest.mark.parametrize("source", ["", "images/**.png/**x", "*\0", "x" * 5000, "a\0b", "~nobody-has-this-name/x"])
def test_impossible_path_is_an_error_of_the_input(source: str) -> None:
    assert input_error(source).value == source


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_image_of_pil_is_converted_as_its_file_is(tmp_path: Path, mode: str, invert: bool) -> None:
    data = build_data(compose_settings("data=digits"))
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 4), dtype=np.uint8)
    image = (
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        if mode == "I;16"
        else Image.fromarray(pixels).convert(mode)
    )
    image.save(tmp_path / "image.png")
    expected = read_image_for(data, tmp_path / "image.png", invert=invert)
    assert expected.shape == (1, 8, 8)
    assert torch.equal(convert_image_for(data, image, invert=invert), expected)
