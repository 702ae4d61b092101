//! Lists as aligned columns on stdout.

/// Prints a header and rows, each column as wide as its widest cell.
pub fn print<const N: usize>(header: [&str; N], rows: &[[String; N]]) {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    print_row(&widths, header);
    for row in rows {
        print_row(&widths, row.each_ref().map(String::as_str));
    }
}

fn print_row<const N: usize>(widths: &[usize; N], cells: [&str; N]) {
    let line: Vec<String> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    println!("{}", line.join("  ").trim_end());
}
