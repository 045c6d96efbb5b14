//! A workflow for a terminal of 80 columns.

use pipeline_lib::workflow::drawing::Picture;

use crate::table::cut;

/// The width of a terminal that everybody has.
const COLUMNS: usize = 80;
/// So many lines run along the left; the connections beyond are only named.
const LANES_MAX: usize = 12;

/// The drawing, line by line.
pub(super) fn draw(picture: &Picture) -> Vec<String> {
    let line = |row: &pipeline_lib::workflow::drawing::Row| {
        let line = format!("{}{}{}", row.rails, row.stem, picture.text(row.what));
        cut(&line, COLUMNS).trim_end().to_owned()
    };
    picture.rows(LANES_MAX).iter().map(line).collect()
}
