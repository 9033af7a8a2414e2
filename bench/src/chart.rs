//! A chart of one workload: a bar for each driver, as SVG. The values are in the bars' data attributes, too.

use std::fmt::Write;

use crate::page::escape;
use crate::report::Measurement;
use crate::show::value;

/// Widths and heights in units of the SVG, which scales to the page.
const WIDTH: f64 = 640.0;
const LABEL_WIDTH: f64 = 110.0;
const VALUE_WIDTH: f64 = 190.0;
const ROW_HEIGHT: f64 = 30.0;
const BAR_HEIGHT: f64 = 16.0;

/// Draws the measurements of one workload; `color_of` answers the place of a driver among all.
pub(crate) fn chart(group: &[&Measurement], color_of: &dyn Fn(&str) -> usize) -> String {
    let most = group.iter().map(|one| one.summary.highest).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / most;
    let rows: String = group
        .iter()
        .enumerate()
        .map(|(row, one)| {
            #[allow(clippy::cast_precision_loss, reason = "a handful of drivers")]
            let top = row as f64 * ROW_HEIGHT + (ROW_HEIGHT - BAR_HEIGHT) / 2.0;
            bar(one, top, scale, color_of(&one.driver))
        })
        .collect();
    #[allow(clippy::cast_precision_loss, reason = "a handful of drivers")]
    let height = group.len() as f64 * ROW_HEIGHT;
    let label = escape(&group[0].title);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n{rows}</svg>\n"
    )
}

/// A driver's row: its name, the bar to its median, a line from the lowest to the highest sample, and the numbers.
fn bar(one: &Measurement, top: f64, scale: f64, color: usize) -> String {
    let (driver, workload) = (escape(&one.driver), escape(&one.workload));
    let summary = one.summary;
    let (median, low, high) =
        (value(summary.median, one.unit), value(summary.lowest, one.unit), value(summary.highest, one.unit));
    let (width, middle) = (summary.median * scale, top + BAR_HEIGHT / 2.0);
    let (from, to) = (LABEL_WIDTH + summary.lowest * scale, LABEL_WIDTH + summary.highest * scale);
    let (text_at, baseline) = (WIDTH - VALUE_WIDTH + 8.0, middle + 4.0);
    let mut row = format!(
        "<g class=\"bar\" data-workload=\"{workload}\" data-driver=\"{driver}\" data-median=\"{:?}\" \
         data-lowest=\"{:?}\" data-highest=\"{:?}\">\n",
        summary.median, summary.lowest, summary.highest
    );
    // Writing into a text cannot fail.
    let drawn = write!(
        row,
        "<title>{driver}: {median}, {low} to {high}</title>\n\
         <text x=\"{:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{driver}</text>\n\
         <rect class=\"color{}\" x=\"{LABEL_WIDTH:.1}\" y=\"{top:.1}\" width=\"{width:.2}\" height=\"{BAR_HEIGHT:.1}\"/>\n\
         <line x1=\"{from:.2}\" x2=\"{to:.2}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\n\
         <text x=\"{text_at:.1}\" y=\"{baseline:.1}\"><tspan class=\"median\">{median}</tspan> \
         <tspan class=\"spread\">{low} to {high}</tspan></text>\n</g>\n",
        LABEL_WIDTH - 8.0,
        color % crate::page::COLORS.len(),
    );
    debug_assert!(drawn.is_ok(), "texts take what is written");
    row
}
