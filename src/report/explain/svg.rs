//! The story as a picture: one lane for each who, one mark for each instant.

use super::Story;
use crate::evidence::Interval;
use std::fmt::Write;

const LEFT: f64 = 220.0;
const RIGHT: f64 = 40.0;
const WIDTH: f64 = 1200.0;
const TOP: f64 = 84.0;
const ROW: f64 = 18.0;
const LANE_GAP: f64 = 10.0;

/// Width of a character at this size, on average.
const CHARACTER: f64 = 6.6;

/// Longest text beside a mark, in characters; the rest is in the text form.
const MAX_TEXT: usize = 96;

/// Draws a story. Plain SVG 1.1 with no script and no outside reference.
pub(super) fn draw(story: &Story) -> String {
    let mut out = String::new();
    write_all(&mut out, story).expect("writing into a string cannot fail");
    out
}

/// Maps instants to the width of the picture.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn over(story: &Story) -> Self {
        let seconds = |at: Interval| (at.lo.as_secs_f64(), at.hi.as_secs_f64());
        let (mut from, mut to) = (f64::MAX, f64::MIN);
        for (lo, hi) in story.rows.iter().map(|row| seconds(row.at)) {
            from = from.min(lo);
            to = to.max(hi);
        }
        if from > to {
            (from, to) = (0.0, 1.0);
        }
        let margin = ((to - from) * 0.02).max(0.05);
        Self {
            from: from - margin,
            to: to + margin,
        }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds - self.from) / (self.to - self.from) * (WIDTH - LEFT - RIGHT)
    }

    /// A step of 1, 2 or 5 times a power of ten that gives at most ten ticks.
    fn step(&self) -> f64 {
        let raw = (self.to - self.from) / 10.0;
        let power = 10_f64.powf(raw.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|factor| factor * power >= raw)
            .unwrap_or(10.0);
        factor * power
    }
}

fn lanes(story: &Story) -> Vec<&str> {
    let mut lanes: Vec<&str> = Vec::new();
    for row in &story.rows {
        if !lanes.contains(&row.who.as_str()) {
            lanes.push(&row.who);
        }
    }
    lanes
}

fn write_all(out: &mut String, story: &Story) -> std::fmt::Result {
    let axis = Axis::over(story);
    let lanes = lanes(story);
    let height = TOP + story.rows.len() as f64 * ROW + lanes.len() as f64 * LANE_GAP + 30.0;
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12">"#
    )?;
    writeln!(
        out,
        r##"<rect width="100%" height="100%" fill="#ffffff"/><text x="16" y="26" font-size="16" font-weight="600" fill="#111827">{}</text>"##,
        escape(&story.title)
    )?;
    if let Some(claim) = story.claims.first() {
        writeln!(
            out,
            r##"<text x="16" y="48" font-size="13" fill="#b91c1c">{}</text>"##,
            escape(claim)
        )?;
    }
    grid(out, &axis, height)?;
    let mut y = TOP + 4.0;
    for (index, lane) in lanes.iter().enumerate() {
        y = draw_lane(out, story, &axis, lane, index, y)?;
    }
    writeln!(out, "</svg>")
}

fn grid(out: &mut String, axis: &Axis, height: f64) -> std::fmt::Result {
    let step = axis.step();
    let mut tick = (axis.from / step).ceil() * step;
    while tick <= axis.to {
        let x = axis.x(tick);
        writeln!(
            out,
            r##"<line x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{:.1}" stroke="#e5e7eb"/><text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#6b7280">{tick:+.3} s</text>"##,
            TOP - 4.0,
            height - 16.0,
            TOP - 10.0
        )?;
        tick += step;
    }
    Ok(())
}

fn draw_lane(
    out: &mut String,
    story: &Story,
    axis: &Axis,
    lane: &str,
    index: usize,
    top: f64,
) -> Result<f64, std::fmt::Error> {
    let rows: Vec<_> = story.rows.iter().filter(|row| row.who == lane).collect();
    let height = rows.len() as f64 * ROW + LANE_GAP / 2.0;
    let shade = if index.is_multiple_of(2) {
        "#f9fafb"
    } else {
        "#ffffff"
    };
    writeln!(
        out,
        r##"<rect x="8" y="{top:.1}" width="{:.1}" height="{height:.1}" fill="{shade}" opacity="0.6"/><text x="16" y="{:.1}" font-weight="600" fill="#374151">{}</text>"##,
        WIDTH - 16.0,
        top + 14.0,
        escape(&shorten(lane, 30))
    )?;
    let colour = if lane == "request" {
        "#b91c1c"
    } else {
        "#1d4ed8"
    };
    for (row, offset) in rows.iter().zip(0_u32..) {
        let y = top + f64::from(offset) * ROW + 10.0;
        let (lo, hi) = (
            axis.x(row.at.lo.as_secs_f64()),
            axis.x(row.at.hi.as_secs_f64()),
        );
        writeln!(
            out,
            r#"<rect x="{:.1}" y="{:.1}" width="{:.1}" height="8" rx="3" fill="{colour}"/>"#,
            lo - 2.0,
            y - 4.0,
            (hi - lo).max(0.0) + 4.0
        )?;
        // Text goes to the side that has more room, and no farther than that goes.
        let (left, right) = (lo - 16.0, WIDTH - hi - 16.0);
        let (x, anchor, room) = if left > right {
            (lo - 8.0, "end", left)
        } else {
            (hi + 8.0, "start", right)
        };
        let most = ((room / CHARACTER) as usize).min(MAX_TEXT);
        writeln!(
            out,
            r##"<text x="{x:.1}" y="{:.1}" text-anchor="{anchor}" fill="#111827">{}</text>"##,
            y + 4.0,
            escape(&shorten(&row.text, most))
        )?;
    }
    Ok(top + height + LANE_GAP / 2.0)
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            // Control characters are not allowed in XML at all.
            other if other.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}
