//! Memory over requests as a picture: one curve for each mode, and the budget.

use std::convert::Infallible;

use anyhow::Context;
use embedded_graphics::mono_font::ascii::{FONT_8X13, FONT_9X15_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Line, Polyline, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Alignment, Text};

use crate::measure::{Run, thousands};

const SIZE: Size = Size::new(1_000, 560);
/// What lies between the axes.
const FIELD: Rectangle = Rectangle::new(Point::new(90, 60), Size::new(880, 430));

const WHITE: Rgb888 = Rgb888::new(255, 255, 255);
const BLACK: Rgb888 = Rgb888::new(30, 30, 30);
const GRID: Rgb888 = Rgb888::new(225, 225, 225);
const BUDGET: Rgb888 = Rgb888::new(120, 120, 120);

/// The picture as a PNG file.
pub(crate) fn draw(runs: &[Run]) -> anyhow::Result<Vec<u8>> {
    let mut canvas = Canvas::new();
    paint(&mut canvas, runs).map_err(|never| match never {})?;
    canvas.png()
}

/// How values become points.
struct Scale {
    requests: f64,
    mebibytes: f64,
}

impl Scale {
    fn point(&self, requests: f64, mebibytes: f64) -> Point {
        let (width, height) = (f64::from(FIELD.size.width), f64::from(FIELD.size.height));
        let right = requests / self.requests * width;
        let up = mebibytes / self.mebibytes * height;
        FIELD.top_left + Point::new(right as i32, (height - up) as i32)
    }
}

fn paint(canvas: &mut Canvas, runs: &[Run]) -> Result<(), Infallible> {
    let curves: Vec<_> = runs.iter().map(curve).collect();
    let budget = runs.iter().find(|run| run.end.budget > 0).map(ceiling);
    let all = || curves.iter().flatten();
    let highest = all().map(|(_, y)| *y).chain(budget).fold(1.0, f64::max);
    let scale = Scale {
        requests: all().map(|(x, _)| *x).fold(1.0, f64::max),
        mebibytes: highest * 1.06,
    };
    axes(canvas, &scale, on_gpu(runs))?;
    if let Some(budget) = budget {
        let (left, right) = (
            scale.point(0.0, budget),
            scale.point(scale.requests, budget),
        );
        for start in (left.x..right.x).step_by(12) {
            let dash = Line::new(Point::new(start, left.y), Point::new(start + 6, left.y));
            dash.into_styled(PrimitiveStyle::with_stroke(BUDGET, 1))
                .draw(canvas)?;
        }
    }
    for (run, curve) in runs.iter().zip(&curves) {
        let points: Vec<_> = curve.iter().map(|(x, y)| scale.point(*x, *y)).collect();
        let style = PrimitiveStyle::with_stroke(color(&run.mode), 2);
        Polyline::new(&points).into_styled(style).draw(canvas)?;
    }
    legend(canvas, runs, budget.is_some())
}

/// Requests and MiB. The GPU's memory if there is one: it is what runs short.
fn curve(run: &Run) -> Vec<(f64, f64)> {
    let gpu = run.samples.iter().all(|sample| sample.gpu.is_some());
    let bytes = |gpu_bytes: Option<u64>, rss| if gpu { gpu_bytes.unwrap_or(0) } else { rss };
    run.samples
        .iter()
        .map(|it| (it.requests as f64, crate::mebibytes(bytes(it.gpu, it.rss))))
        .collect()
}

fn on_gpu(runs: &[Run]) -> bool {
    let mut samples = runs.iter().flat_map(|run| &run.samples);
    samples.all(|sample| sample.gpu.is_some())
}

/// The budget, over what the process takes without any model.
fn ceiling(run: &Run) -> f64 {
    let beside = match on_gpu(std::slice::from_ref(run)) {
        true => 0,
        false => run.end.base,
    };
    crate::mebibytes(run.end.budget as u64 + beside)
}

fn color(mode: &str) -> Rgb888 {
    match mode {
        "slab" => Rgb888::new(0, 114, 178),
        "shared-arena" => Rgb888::new(230, 159, 0),
        _ => Rgb888::new(213, 94, 0),
    }
}

fn axes(canvas: &mut Canvas, scale: &Scale, gpu: bool) -> Result<(), Infallible> {
    let what = match gpu {
        true => "GPU memory of the process, MiB",
        false => "resident memory of the process, MiB",
    };
    write(
        canvas,
        &FONT_9X15_BOLD,
        what,
        Point::new(90, 24),
        Alignment::Left,
    )?;
    for value in ticks(scale.mebibytes) {
        let (left, right) = (scale.point(0.0, value), scale.point(scale.requests, value));
        Line::new(left, right)
            .into_styled(PrimitiveStyle::with_stroke(GRID, 1))
            .draw(canvas)?;
        let label = thousands(value as usize);
        write(
            canvas,
            &FONT_8X13,
            &label,
            left + Point::new(-8, 4),
            Alignment::Right,
        )?;
    }
    for value in ticks(scale.requests) {
        let foot = scale.point(value, 0.0);
        Line::new(foot, foot + Point::new(0, 5))
            .into_styled(PrimitiveStyle::with_stroke(BLACK, 1))
            .draw(canvas)?;
        let label = thousands(value as usize);
        write(
            canvas,
            &FONT_8X13,
            &label,
            foot + Point::new(0, 20),
            Alignment::Center,
        )?;
    }
    let middle = FIELD.top_left + Point::new(440, 430 + 44);
    write(canvas, &FONT_8X13, "requests", middle, Alignment::Center)?;
    let corner = scale.point(0.0, 0.0);
    for end in [
        scale.point(scale.requests, 0.0),
        scale.point(0.0, scale.mebibytes),
    ] {
        Line::new(corner, end)
            .into_styled(PrimitiveStyle::with_stroke(BLACK, 1))
            .draw(canvas)?;
    }
    Ok(())
}

/// Up to ten round values from 0.
fn ticks(most: f64) -> Vec<f64> {
    let power = 10_f64.powf((most / 10.0).log10().ceil()).max(1.0);
    let step = [power / 5.0, power / 2.0, power]
        .into_iter()
        .find(|step| most / step <= 10.0 && step.fract() == 0.0)
        .unwrap_or(power);
    let count = (most / step) as usize;
    (0..=count).map(|tick| tick as f64 * step).collect()
}

fn legend(canvas: &mut Canvas, runs: &[Run], budget: bool) -> Result<(), Infallible> {
    let modes = runs.iter().map(|run| (run.mode.as_str(), color(&run.mode)));
    let budget = budget.then_some(("base + budget of the slab", BUDGET));
    let mut place = Point::new(90, 46);
    for (label, color) in modes.chain(budget) {
        Line::new(place + Point::new(0, -4), place + Point::new(24, -4))
            .into_styled(PrimitiveStyle::with_stroke(color, 3))
            .draw(canvas)?;
        write(
            canvas,
            &FONT_8X13,
            label,
            place + Point::new(32, 0),
            Alignment::Left,
        )?;
        place.x += 32 + 8 * label.len() as i32 + 32;
    }
    Ok(())
}

fn write(
    canvas: &mut Canvas,
    font: &MonoFont<'_>,
    text: &str,
    place: Point,
    alignment: Alignment,
) -> Result<(), Infallible> {
    let style = MonoTextStyle::new(font, BLACK);
    Text::with_alignment(text, place, style, alignment).draw(canvas)?;
    Ok(())
}

/// Pixels, row by row.
struct Canvas {
    pixels: Vec<Rgb888>,
}

impl Canvas {
    fn new() -> Self {
        Self {
            pixels: vec![WHITE; (SIZE.width * SIZE.height) as usize],
        }
    }

    fn png(&self) -> anyhow::Result<Vec<u8>> {
        let bytes = |color: &Rgb888| [color.r(), color.g(), color.b()];
        let bytes: Vec<u8> = self.pixels.iter().flat_map(bytes).collect();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, SIZE.width, SIZE.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&bytes))
            .context("the picture is not written")?;
        Ok(file)
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        SIZE
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let area = self.bounding_box();
        for Pixel(place, color) in pixels {
            if area.contains(place) {
                let index = place.y as u32 * SIZE.width + place.x as u32;
                self.pixels[index as usize] = color;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(10.0), (0..=10).map(f64::from).collect::<Vec<_>>());
        assert_eq!(
            ticks(430.0),
            [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 350.0, 400.0]
        );
        assert_eq!(ticks(14_000.0).len(), 8);
        assert_eq!(ticks(1.0), [0.0, 1.0]);
    }

    #[test]
    fn an_empty_run_is_drawn_too() {
        let picture = draw(&[Run::default()]).expect("a picture");
        assert_eq!(&picture[1..4], b"PNG");
    }
}
