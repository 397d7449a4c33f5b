//! Lines over time, as a picture for the documentation.

use std::{error::Error, path::Path};

use plotters::prelude::*;

/// Points over which each line is averaged.
const BIN: usize = 15;

const COLOURS: [RGBColor; 4] = [
    RGBColor(0x00, 0x5a, 0x9c),
    RGBColor(0xc2, 0x41, 0x0c),
    RGBColor(0x15, 0x80, 0x3d),
    RGBColor(0x7c, 0x3a, 0xed),
];

pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    /// One for each second.
    pub(crate) counts: &'a [u32],
}

/// Draws the lines over minutes.
pub(crate) fn draw(path: &Path, title: &str, lines: &[Line<'_>]) -> Result<(), Box<dyn Error>> {
    let series: Vec<_> = lines.iter().map(|line| averages(line.counts)).collect();
    let most = series
        .iter()
        .flatten()
        .map(|point| point.1)
        .fold(1.0, f64::max);
    let end = lines
        .iter()
        .map(|line| line.counts.len())
        .max()
        .unwrap_or(1);
    let area = SVGBackend::new(path, (860, 360)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..end as f64 / 60.0, 0.0..most * 1.08)?;
    chart
        .configure_mesh()
        .x_desc("minutes")
        .y_desc("each second")
        .light_line_style(WHITE)
        .x_label_formatter(&|minute| format!("{minute:.0}"))
        .y_label_formatter(&|count| thousands(*count))
        .draw()?;
    for ((line, points), colour) in lines.iter().zip(series).zip(COLOURS.iter().cycle()) {
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(0xcc, 0xcc, 0xcc))
        .draw()?;
    area.present()?;
    Ok(())
}

fn averages(counts: &[u32]) -> Vec<(f64, f64)> {
    let bins = counts.chunks(BIN).enumerate();
    bins.map(|(number, bin)| {
        let sum: u64 = bin.iter().map(|count| u64::from(*count)).sum();
        ((number * BIN) as f64 / 60.0, sum as f64 / bin.len() as f64)
    })
    .collect()
}

pub(crate) fn grouped(number: usize) -> String {
    thousands(number as f64)
}

/// With a sign, unless it is nothing.
pub(crate) fn signed(number: f64) -> String {
    match number.round() {
        0.0 => "0".to_owned(),
        more if more > 0.0 => format!("+{}", thousands(more)),
        less => format!("-{}", thousands(-less)),
    }
}

/// Grouped by threes.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for (index, digit) in digits[first..].chars().enumerate() {
        if index % 3 == 0 && !text.is_empty() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
