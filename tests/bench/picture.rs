//! The same as bars.

use std::error::Error;

use plotters::prelude::*;

use super::figures::Figures;

const OWN: RGBColor = RGBColor(0x00, 0x5a, 0x9c);
const KERNEL: RGBColor = RGBColor(0x9d, 0xb4, 0xc8);

const WIDTH: i32 = 860;
const HEIGHT: i32 = 44;
/// Where bars begin, behind their names.
const LEFT: i32 = 210;

pub(crate) fn draw(figures: &Figures, path: &str) -> Result<(), Box<dyn Error>> {
    let bars = figures.bars();
    let most = bars.iter().map(|bar| bar.1 + bar.2).fold(1.0, f64::max);
    let height = HEIGHT * (bars.len() as i32 + 1) + 24;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = ("sans-serif", 15).into_font();
    let scale = f64::from(WIDTH - LEFT - 90) / most;
    let title = "CPU time a request, microseconds: the proxy's own (dark) and the kernel's (light)";
    area.draw(&Text::new(title, (12, 14), text.clone()))?;
    for (place, (name, user, system)) in bars.iter().enumerate() {
        let top = HEIGHT * (place as i32 + 1);
        let (own, all) = (
            LEFT + (user * scale) as i32,
            LEFT + ((user + system) * scale) as i32,
        );
        let bar = |from, to, colour: RGBColor| {
            Rectangle::new([(from, top), (to, top + HEIGHT - 14)], colour.filled())
        };
        area.draw(&bar(LEFT, own, OWN))?;
        area.draw(&bar(own, all, KERNEL))?;
        area.draw(&Text::new(*name, (12, top + 8), text.clone()))?;
        let sum = format!("{:.1}", user + system);
        area.draw(&Text::new(sum, (all + 8, top + 8), text.clone()))?;
    }
    area.present()?;
    Ok(())
}
