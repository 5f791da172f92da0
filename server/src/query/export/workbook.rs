//! Workbooks for Excel and its like.

use anyhow::Result;

use super::{
    format::Encoder,
    sheet::{Cell, Column, Row},
    text::rfc3339,
};

/// Rows of a workbook, at most: it is whole in memory before it is sent.
pub(super) const MAX_ROWS: i64 = 100_000;

/// Encodes a workbook of one sheet.
pub(super) struct Workbook {
    workbook: rust_xlsxwriter::Workbook,
    next: u32,
}

impl Workbook {
    pub(super) fn new(columns: &[Column]) -> Result<Self> {
        let mut workbook = rust_xlsxwriter::Workbook::new();
        let sheet = workbook.add_worksheet_with_constant_memory()?;
        let bold = rust_xlsxwriter::Format::new().set_bold();
        sheet.set_freeze_panes(1, 0)?;
        for (n, column) in (0..).zip(columns) {
            sheet.set_column_width(n, 20)?;
            sheet.write_with_format(0, n, column.name, &bold)?;
        }
        Ok(Self { workbook, next: 1 })
    }
}

impl Encoder for Workbook {
    fn encode(&mut self, rows: &[Row]) -> Result<Vec<u8>> {
        let sheet = self.workbook.worksheet_from_index(0)?;
        for row in rows {
            for (n, cell) in (0..).zip(row) {
                match cell {
                    Cell::Missing => continue,
                    // As a text, whatever it begins with: never a formula.
                    Cell::Text(text) => sheet.write_string(self.next, n, text)?,
                    Cell::Integer(number) => sheet.write_number(self.next, n, *number as f64)?,
                    Cell::Time(ms) => sheet.write_string(self.next, n, rfc3339(*ms))?,
                };
            }
            self.next += 1;
        }
        Ok(Vec::new())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>> {
        Ok(self.workbook.save_to_buffer()?)
    }
}
