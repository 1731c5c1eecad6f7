//! A plot with a logarithmic axis below, as SVG.

use std::fmt;

/// What is drawn: medians on a line, each with the least and the greatest.
pub(crate) struct Plot {
    pub(crate) title: String,
    /// What is counted below.
    pub(crate) over: &'static str,
    /// In ascending order.
    pub(crate) marks: Vec<Mark>,
}

pub(crate) struct Mark {
    pub(crate) x: usize,
    pub(crate) y: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// Around the axes, for what is written beside them.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 40.0;
const ABOVE: f64 = 50.0;
const BELOW: f64 = 50.0;

/// Lines across, over the whole height.
const STEPS: u32 = 5;

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13" text-anchor="middle">"#
        )?;
        writeln!(
            f,
            r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>"##
        )?;
        let middle = WIDTH / 2.0;
        text(f, middle, ABOVE / 2.0, &self.title)?;
        text(f, middle, HEIGHT - 10.0, self.over)?;
        self.draw_heights(f)?;
        for mark in &self.marks {
            let (x, low, high) = (
                self.across(mark.x),
                self.up(mark.least),
                self.up(mark.greatest),
            );
            text(f, x, HEIGHT - BELOW + 18.0, &thousands(mark.x))?;
            line(f, (x, low), (x, high), "#69c")?;
            let y = self.up(mark.y);
            writeln!(
                f,
                r##"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="#036"/>"##
            )?;
        }
        for pair in self.marks.windows(2) {
            let [from, to] =
                [&pair[0], &pair[1]].map(|mark| (self.across(mark.x), self.up(mark.y)));
            line(f, from, to, "#036")?;
        }
        writeln!(f, "</svg>")
    }
}

impl Plot {
    fn draw_heights(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in 0..=STEPS {
            let height = self.top() * f64::from(step) / f64::from(STEPS);
            let y = self.up(height);
            line(f, (LEFT, y), (WIDTH - RIGHT, y), "#ddd")?;
            text(f, LEFT / 2.0, y + 4.0, &format!("{height:.2}"))?;
        }
        Ok(())
    }

    /// The greatest height, rounded up to halves.
    fn top(&self) -> f64 {
        let greatest = self.marks.iter().map(|mark| mark.greatest);
        (greatest.fold(1.0, f64::max) * 2.0).ceil() / 2.0
    }

    fn up(&self, height: f64) -> f64 {
        HEIGHT - BELOW - (HEIGHT - ABOVE - BELOW) * height / self.top()
    }

    #[expect(clippy::cast_precision_loss, reason = "a million at most")]
    fn across(&self, size: usize) -> f64 {
        let decades = |size: usize| (size as f64).log10();
        let (first, last) = (
            decades(self.marks[0].x),
            decades(self.marks[self.marks.len() - 1].x),
        );
        LEFT + (WIDTH - LEFT - RIGHT) * (decades(size) - first) / (last - first)
    }
}

fn line(f: &mut fmt::Formatter<'_>, from: (f64, f64), to: (f64, f64), colour: &str) -> fmt::Result {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(
        f,
        r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}" stroke-width="2"/>"#
    )
}

fn text(f: &mut fmt::Formatter<'_>, x: f64, y: f64, text: &str) -> fmt::Result {
    writeln!(f, r#"<text x="{x:.1}" y="{y:.1}">{text}</text>"#)
}

/// With commas between groups of three digits.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
