//! The report as one page that needs nothing else: no scripts, no fonts, no network.

use std::fmt::Write;

use crate::advice::advice;
use crate::chart::chart;
use crate::compare::{Comparison, Verdict};
use crate::report::Report;
use crate::show::value;
use crate::workload::Area;

/// The drivers' colours, told apart by those who see no red or no green, too (after Okabe and Ito).
pub(crate) const COLORS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];

const STYLE: &str = "\
:root { color-scheme: light dark; --line: #8888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h3 { margin: 1.2rem 0 0.2rem; font-size: 1rem; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
svg line { stroke: currentColor; stroke-width: 1.5; } svg .median { font-weight: 600; } svg .spread { opacity: 0.7; }
table { border-collapse: collapse; } td, th { text-align: left; padding: 0.15rem 0.8rem 0.15rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
footer { margin-top: 3rem; opacity: 0.7; }
";

/// Makes the page. `since` is the comparison with an older report, if there is one.
#[must_use]
pub fn page(report: &Report, since: Option<&[Comparison]>) -> String {
    let mut colors = String::new();
    for (place, color) in COLORS.iter().enumerate() {
        push(&mut colors, format_args!(".color{place} {{ fill: {color}; }}\n"));
    }
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>plywood bench</title>\n\
         <style>\n{STYLE}{colors}</style>\n</head>\n<body>\n<h1>plywood bench</h1>\n"
    );
    push(&mut page, format_args!("<p>{}</p>\n", escape(&lead(report))));
    words(&mut page, report);
    if let Some(since) = since {
        comparison(&mut page, since);
    }
    charts(&mut page, report);
    facts(&mut page, report);
    page.push_str(
        "<footer>Bars end at the median; the line goes from the lowest to the highest of all rounds. \
         Less is better everywhere.</footer>\n</body>\n</html>\n",
    );
    page
}

fn lead(report: &Report) -> String {
    let names: Vec<&str> = report.drivers.iter().map(|driver| driver.name.as_str()).collect();
    format!(
        "Plywood {}, {}: {} in {} rounds, size {}.",
        report.version,
        report.when,
        names.join(", "),
        report.rounds,
        report.size
    )
}

fn words(page: &mut String, report: &Report) {
    page.push_str("<h2>Which driver suits which work</h2>\n<ul id=\"advice\">\n");
    for sentence in advice(report) {
        push(page, format_args!("<li>{}</li>\n", escape(&sentence)));
    }
    page.push_str("</ul>\n");
}

fn comparison(page: &mut String, since: &[Comparison]) {
    page.push_str("<h2>Since the older report</h2>\n");
    let changed: Vec<&Comparison> = since.iter().filter(|one| one.verdict != Verdict::Same).collect();
    if changed.is_empty() {
        page.push_str("<p id=\"changed\">Nothing changed beyond the noise.</p>\n");
        return;
    }
    page.push_str("<table id=\"changed\">\n<tr><th>workload<th>driver<th>before<th>now<th></tr>\n");
    for one in changed {
        let verdict = if one.verdict == Verdict::Better { "better" } else { "worse" };
        push(
            page,
            format_args!(
                "<tr><td>{}<td>{}<td>{}<td>{}<td>{verdict}</tr>\n",
                escape(&one.workload),
                escape(&one.driver),
                value(one.before.median, one.unit),
                value(one.after.median, one.unit)
            ),
        );
    }
    page.push_str("</table>\n");
}

fn charts(page: &mut String, report: &Report) {
    let color_of = |driver: &str| report.drivers.iter().position(|known| known.name == driver).unwrap_or(0);
    let groups = report.by_workload();
    for area in Area::ALL {
        let of_area = groups.iter().filter(|group| group[0].area == area);
        for (number, group) in of_area.enumerate() {
            if number == 0 {
                push(page, format_args!("<h2>{}</h2>\n", escape(&capital(area.words()))));
            }
            push(page, format_args!("<h3>{}</h3>\n", escape(&group[0].title)));
            page.push_str(&chart(group, &color_of));
        }
    }
}

fn facts(page: &mut String, report: &Report) {
    let machine = &report.machine;
    page.push_str("<h2>Where it ran</h2>\n<table id=\"machine\">\n");
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let memory = value(machine.memory_bytes as f64, crate::Unit::Bytes);
    let mut rows = vec![
        ("processor".to_owned(), format!("{}, {} of them", machine.processor, machine.processors)),
        ("memory".to_owned(), memory),
        ("kernel".to_owned(), machine.kernel.clone()),
        ("system".to_owned(), machine.system.clone()),
        ("file system".to_owned(), machine.file_system.clone()),
        ("Plywood".to_owned(), report.version.clone()),
    ];
    for driver in &report.drivers {
        let status: Vec<String> =
            driver.status.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        rows.push((driver.name.clone(), status.join(", ")));
    }
    rows.extend(
        report.refused.iter().map(|one| (one.name.clone(), format!("does not work here: {}", one.reason))),
    );
    rows.extend(
        report
            .failures
            .iter()
            .map(|one| (format!("{} on {}", one.workload, one.driver), format!("failed: {}", one.reason))),
    );
    for (key, text) in rows {
        push(page, format_args!("<tr><th>{}<td>{}</tr>\n", escape(&key), escape(&text)));
    }
    page.push_str("</table>\n");
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a text cannot fail.
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok(), "texts take what is written");
}

/// Makes a text mean itself in HTML, attributes included.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::report::tests::report;

    #[test]
    fn the_page_has_a_bar_for_every_measurement_and_needs_nothing_else() {
        let report = report(&[
            ("walk", "one", &[0.001, 0.002, 0.004]),
            ("walk", "two", &[0.5]),
            ("disk", "one", &[2e6]),
        ]);
        let page = page(&report, None);
        assert_eq!(page.matches("<g class=\"bar\"").count(), 3);
        assert_eq!(page.matches("<svg ").count(), 2);
        assert!(page.contains("data-workload=\"walk\" data-driver=\"one\" data-median=\"0.002\""), "{page}");
        for foreign in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn what_changed_is_told() {
        let before = report(&[("walk", "one", &[1.0, 1.1]), ("stat", "one", &[1.0])]);
        let after = report(&[("walk", "one", &[2.0, 2.1]), ("stat", "one", &[1.0])]);
        let since = compare(&before, &after).unwrap_or_default();
        let shown = page(&after, Some(&since));
        assert!(shown.contains("<tr><td>walk<td>one<td>1.05 s<td>2.05 s<td>worse</tr>"), "{shown}");
        assert!(!shown.contains("<td>stat"), "{shown}");
        let same = compare(&after, &after).unwrap_or_default();
        assert!(page(&after, Some(&same)).contains("Nothing changed"));
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("a<b & \"c\">"), "a&lt;b &amp; &quot;c&quot;&gt;");
    }
}
