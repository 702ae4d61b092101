//! Lists as aligned columns.

/// A header and rows, a line each, each column as wide as its widest cell.
pub fn lines<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let rows = rows.iter().map(|row| line(&widths, row.each_ref().map(String::as_str)));
    line(&widths, header) + &rows.collect::<String>()
}

fn line<const N: usize>(widths: &[usize; N], cells: [&str; N]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    let cells: Vec<String> = cells.collect();
    format!("{}\n", cells.join("  ").trim_end())
}
