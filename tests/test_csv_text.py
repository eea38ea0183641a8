"""A CSV that is edited as text: parsing loses nothing, and values are those that Python's csv module reads."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracturelib.files.csv_text import CsvText

CELLS = st.text(st.sampled_from('ab ",;\n\r\tü'), max_size=6)


@given(st.text(st.sampled_from('ab ",;\n\r\t\ufeffü'), max_size=60))
def test_an_unedited_text_comes_back_byte_for_byte(text):
    data = text.encode("utf-8")
    assert str(CsvText.parse(data)).encode("utf-8") == data


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_wide_encodings_come_back(encoding):
    data = "\ufefffile;age\r\nä;3\r\n".encode(encoding)
    text = CsvText.parse(data)
    assert (text.separator, text.encoding) == (";", encoding) and str(text).encode(encoding) == data


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=5))
def test_values_are_those_of_the_csv_module(rows):
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([["file", "age"], *rows])
    text = CsvText.parse(written.getvalue().encode("utf-8"))
    assert [text.values(record) for record in text.records[1:]] == rows


@given(st.lists(CELLS, min_size=2, max_size=4))
def test_what_is_appended_is_read_back(values):
    text = CsvText.parse(b"file,age")
    text.append(values)
    again = list(csv.reader(io.StringIO(str(text), newline="")))
    assert again == [["file", "age"], values] or (values == [""] and len(again) == 1)
