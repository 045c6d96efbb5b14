//! The colours that a program is told when it asks, in place of the person's own, which nobody knows here: those of a dark
//! terminal. They are never shown.

use alacritty_terminal::vte::ansi::{NamedColor, Rgb};

/// The first sixteen places, as xterm has them.
const FIRST: [u32; 16] = [
    0x00_0000, 0xcd_0000, 0x00_cd00, 0xcd_cd00, 0x00_00ee, 0xcd_00cd, 0x00_cdcd, 0xe5_e5e5, 0x7f_7f7f, 0xff_0000,
    0x00_ff00, 0xff_ff00, 0x5c_5cff, 0xff_00ff, 0x00_ffff, 0xff_ffff,
];
/// The steps of each colour in the cube behind them.
const STEPS: [u8; 6] = [0, 0x5f, 0x87, 0xaf, 0xd7, 0xff];
const FOREGROUND: u32 = 0xd8_d8d8;
const BACKGROUND: u32 = 0x18_1818;

/// The colour of a place in the emulator's numbering: the palette of 256, then those with names.
pub(super) fn colour(place: usize) -> Rgb {
    if let Some(first) = FIRST.get(place) {
        return rgb(*first);
    }
    match u8::try_from(place) {
        Ok(place @ 16..=231) => {
            let step = |divisor: u8| STEPS.get(usize::from((place - 16) / divisor % 6)).copied().unwrap_or_default();
            Rgb { r: step(36), g: step(6), b: step(1) }
        }
        Ok(grey) => {
            let level = (grey.saturating_sub(232)).saturating_mul(10).saturating_add(8);
            Rgb { r: level, g: level, b: level }
        }
        Err(_) if place == NamedColor::Background as usize => rgb(BACKGROUND),
        Err(_) => rgb(FOREGROUND),
    }
}

fn rgb(number: u32) -> Rgb {
    let [_, r, g, b] = number.to_be_bytes();
    Rgb { r, g, b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_is_that_of_xterm() {
        for (place, expected) in [
            (1, 0xcd_0000),
            (16, 0x00_0000),
            (21, 0x00_00ff),
            (110, 0x87_afd7),
            (231, 0xff_ffff),
            (232, 0x08_0808),
            (255, 0xee_eeee),
            (256, FOREGROUND),
            (257, BACKGROUND),
            (258, FOREGROUND),
        ] {
            assert_eq!(colour(place), rgb(expected), "{place}");
        }
    }
}
