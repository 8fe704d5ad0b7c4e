//! Design tokens: colours, type scale and spacing of the window, in dark and in light.

use std::sync::Arc;

use egui::style::{ScrollStyle, WidgetVisuals, Widgets};
use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Shadow, Stroke,
    TextStyle, Vec2, Visuals,
};

use crate::placement::Device;

/// Colours of one appearance. GPU green and DLA violet differ in hue, blue part and lightness,
/// so that they stay apart in the common colour-vision deficiencies; fallback adds a hatch.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    pub dark: bool,
    /// Behind everything.
    pub base: Color32,
    /// Panels.
    pub panel: Color32,
    /// Cards, fields, buttons.
    pub raised: Color32,
    /// A hovered row or button.
    pub hover: Color32,
    /// A selected row.
    pub selected: Color32,
    pub line: Color32,
    pub strong: Color32,
    pub text: Color32,
    pub dim: Color32,
    pub faint: Color32,
    pub accent: Color32,
    pub gpu: Color32,
    pub gpu_soft: Color32,
    pub dla: Color32,
    pub dla_soft: Color32,
    /// Text on a solid device colour.
    pub on_device: Color32,
    /// Fallbacks and warnings.
    pub amber: Color32,
    pub amber_soft: Color32,
    pub error: Color32,
    pub error_soft: Color32,
    /// Published reference figures.
    pub reference: Color32,
    /// The placement on screen, in charts.
    pub current: Color32,
    /// The filter's match.
    pub mark: Color32,
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// The dark appearance.
pub const DARK: Tokens = Tokens {
    dark: true,
    base: rgb(0x0d_1014),
    panel: rgb(0x14_181e),
    raised: rgb(0x1d_232b),
    hover: rgb(0x1a_2028),
    selected: rgb(0x1f_2d42),
    line: rgb(0x28_2f39),
    strong: rgb(0xf2_f5f9),
    text: rgb(0xd2_d9e3),
    dim: rgb(0x9f_aab9),
    faint: rgb(0x88_94a4),
    accent: rgb(0x5a_a2f7),
    gpu: rgb(0x4c_c38a),
    gpu_soft: rgb(0x17_3529),
    dla: rgb(0xa5_8bfa),
    dla_soft: rgb(0x2b_2450),
    on_device: rgb(0x0b_1014),
    amber: rgb(0xf0_b13c),
    amber_soft: rgb(0x3a_2d12),
    error: rgb(0xf4_7067),
    error_soft: rgb(0x3d_1d1f),
    reference: rgb(0x7d_8999),
    current: rgb(0xf2_f5f9),
    mark: rgb(0x5c_4a12),
};

/// The light appearance.
pub const LIGHT: Tokens = Tokens {
    dark: false,
    base: rgb(0xee_f0f3),
    panel: rgb(0xff_ffff),
    raised: rgb(0xf4_f6f8),
    hover: rgb(0xf2_f5f8),
    selected: rgb(0xdd_ebfd),
    line: rgb(0xdc_e1e7),
    strong: rgb(0x0e_1620),
    text: rgb(0x26_303c),
    dim: rgb(0x4d_5866),
    faint: rgb(0x5f_6a79),
    accent: rgb(0x15_60c4),
    gpu: rgb(0x0f_7048),
    gpu_soft: rgb(0xdc_f3e8),
    dla: rgb(0x6a_4be0),
    dla_soft: rgb(0xe9_e4fc),
    on_device: rgb(0xff_ffff),
    amber: rgb(0x8f_5500),
    amber_soft: rgb(0xfd_efd3),
    error: rgb(0xc2_2f2f),
    error_soft: rgb(0xfd_e6e4),
    reference: rgb(0x8d_98a7),
    current: rgb(0x0e_1620),
    mark: rgb(0xfd_e68a),
};

impl Tokens {
    /// The tokens of the appearance in force.
    pub fn of(ui: &egui::Ui) -> Self {
        if ui.visuals().dark_mode { DARK } else { LIGHT }
    }

    /// A device's colour.
    pub fn device(&self, device: Device) -> Color32 {
        match device {
            Device::Gpu => self.gpu,
            Device::Dla => self.dla,
        }
    }

    /// A device's colour for large areas.
    pub fn device_soft(&self, device: Device) -> Color32 {
        match device {
            Device::Gpu => self.gpu_soft,
            Device::Dla => self.dla_soft,
        }
    }

    /// A colour per DLA subgraph, near the DLA's own, neighbours apart.
    pub fn subgraph(&self, index: u32) -> Color32 {
        const DARK_RAMP: [u32; 5] = [0xa5_8bfa, 0xd4_8bf0, 0x83_98f8, 0xc0_a8ff, 0xe5_92cf];
        const LIGHT_RAMP: [u32; 5] = [0x6a_4be0, 0xa0_3cc4, 0x3d_5fd6, 0x8a_63e6, 0xbb_3f96];
        let ramp = if self.dark { &DARK_RAMP } else { &LIGHT_RAMP };
        rgb(ramp[index as usize % ramp.len()])
    }
}

/// Height of a tree row.
pub const ROW: f32 = 22.0;
/// Indent per tree level.
pub const INDENT: f32 = 14.0;
/// Padding inside panels.
pub const PAD: f32 = 10.0;

/// Body text.
pub fn body() -> FontId {
    FontId::proportional(13.0)
}

/// Secondary text.
pub fn small() -> FontId {
    FontId::proportional(11.5)
}

/// Figures: the text face's own digits are of equal width.
pub fn figures() -> FontId {
    FontId::proportional(11.5)
}

/// Code and paths.
pub fn mono() -> FontId {
    FontId::monospace(11.5)
}

/// Titles and names that matter.
pub fn strong() -> FontId {
    FontId::new(13.0, FontFamily::Name(STRONG.into()))
}

/// A large figure.
pub fn large() -> FontId {
    FontId::new(20.0, FontFamily::Name(STRONG.into()))
}

const STRONG: &str = "strong";

/// Text faces of Linux desktops, best first: the regular and the medium or bold cut. Jetson Linux
/// ships the second pair. Where none is found, the embedded face serves both.
const FACES: [(&str, &str); 4] = [
    (
        "/usr/share/fonts/opentype/inter/Inter-Regular.otf",
        "/usr/share/fonts/opentype/inter/Inter-SemiBold.otf",
    ),
    (
        "/usr/share/fonts/truetype/ubuntu/Ubuntu-R.ttf",
        "/usr/share/fonts/truetype/ubuntu/Ubuntu-M.ttf",
    ),
    (
        "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
        "/usr/share/fonts/truetype/noto/NotoSans-Bold.ttf",
    ),
    (
        "/usr/share/fonts/truetype/open-sans/OpenSans-Regular.ttf",
        "/usr/share/fonts/truetype/open-sans/OpenSans-Semibold.ttf",
    ),
];

/// The desktop's own text face if it has a good one; tests keep to the embedded face.
pub fn fonts(desktop: bool) -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let embedded = fonts
        .families
        .get(&FontFamily::Proportional)
        .cloned()
        .unwrap_or_default();
    let mut strong = embedded;
    let faces = if desktop { &FACES[..] } else { &[] };
    for (regular, bold) in faces {
        if let (Ok(regular), Ok(bold)) = (std::fs::read(regular), std::fs::read(bold)) {
            fonts
                .font_data
                .insert("text".into(), Arc::new(FontData::from_owned(regular)));
            fonts
                .font_data
                .insert("text strong".into(), Arc::new(FontData::from_owned(bold)));
            fonts
                .families
                .entry(FontFamily::Proportional)
                .or_default()
                .insert(0, "text".into());
            strong.insert(0, "text strong".into());
            break;
        }
    }
    fonts
        .families
        .insert(FontFamily::Name(STRONG.into()), strong);
    fonts
}

/// Gives a context the fonts and both appearances.
pub fn install(ctx: &egui::Context, desktop: bool) {
    ctx.set_fonts(fonts(desktop));
    for (theme, tokens) in [(egui::Theme::Dark, DARK), (egui::Theme::Light, LIGHT)] {
        let mut style = (*ctx.style_of(theme)).clone();
        style.text_styles = [
            (TextStyle::Body, body()),
            (TextStyle::Button, body()),
            (TextStyle::Small, small()),
            (TextStyle::Monospace, mono()),
            (TextStyle::Heading, strong_heading()),
        ]
        .into();
        style.visuals = visuals(&tokens);
        style.animation_time = 0.08;
        style.interaction.selectable_labels = false;
        style.interaction.tooltip_delay = 0.35;
        let s = &mut style.spacing;
        s.item_spacing = Vec2::new(6.0, 4.0);
        s.button_padding = Vec2::new(8.0, 3.0);
        s.menu_margin = Margin::same(7);
        s.window_margin = Margin::same(14);
        s.interact_size = Vec2::new(24.0, 24.0);
        s.icon_width = 14.0;
        s.icon_width_inner = 8.0;
        s.combo_width = 60.0;
        s.combo_height = 360.0;
        s.tooltip_width = 360.0;
        s.scroll = ScrollStyle::thin();
        s.scroll.floating = true;
        s.scroll.floating_allocated_width = 0.0;
        s.scroll.bar_width = 7.0;
        s.scroll.fade.strength = 0.0;
        ctx.set_style_of(theme, style);
    }
}

fn strong_heading() -> FontId {
    FontId::new(15.0, FontFamily::Name(STRONG.into()))
}

fn visuals(t: &Tokens) -> Visuals {
    let mut v = if t.dark {
        Visuals::dark()
    } else {
        Visuals::light()
    };
    let radius = CornerRadius::same(5);
    let widget = |fill: Color32, border: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, border),
        corner_radius: radius,
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    v.widgets = Widgets {
        noninteractive: widget(t.panel, t.line, t.text),
        inactive: widget(t.raised, t.line, t.text),
        hovered: widget(t.hover, t.faint, t.strong),
        active: widget(t.selected, t.accent, t.strong),
        open: widget(t.raised, t.faint, t.strong),
    };
    v.override_text_color = None;
    v.weak_text_color = Some(t.dim);
    v.selection.bg_fill = t.selected;
    v.selection.stroke = Stroke::new(1.0, t.accent);
    v.hyperlink_color = t.accent;
    v.faint_bg_color = t.hover;
    v.extreme_bg_color = t.base;
    v.text_edit_bg_color = Some(if t.dark { t.base } else { t.panel });
    v.code_bg_color = t.raised;
    v.warn_fg_color = t.amber;
    v.error_fg_color = t.error;
    v.window_corner_radius = CornerRadius::same(8);
    v.menu_corner_radius = CornerRadius::same(6);
    v.window_fill = if t.dark { t.raised } else { t.panel };
    v.window_stroke = Stroke::new(1.0, t.line);
    v.panel_fill = t.panel;
    let shadow = Shadow {
        offset: [0, 6],
        blur: 20,
        spread: 0,
        color: Color32::from_black_alpha(if t.dark { 120 } else { 45 }),
    };
    v.window_shadow = shadow;
    v.popup_shadow = shadow;
    v.button_frame = true;
    v.indent_has_left_vline = false;
    v
}

#[cfg(test)]
mod tests {
    use super::{DARK, LIGHT, Tokens};
    use crate::chart::Palette;
    use egui::Color32;

    /// Relative luminance of an opaque colour, 0 to 1 (WCAG 2.2, "relative luminance").
    fn luminance(color: Color32) -> f64 {
        let linear = |c: u8| {
            let c = f64::from(c) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(color.r()) + 0.7152 * linear(color.g()) + 0.0722 * linear(color.b())
    }

    /// Contrast of two colours, 1 to 21 (WCAG 2.2, "contrast ratio").
    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_stands_out_from_every_background() {
        assert!((contrast(Color32::BLACK, Color32::WHITE) - 21.0).abs() < 1e-6);
        for t in [DARK, LIGHT] {
            let Tokens {
                base,
                panel,
                raised,
                hover,
                selected,
                ..
            } = t;
            let inks = [
                ("strong", t.strong),
                ("text", t.text),
                ("dim", t.dim),
                ("faint", t.faint),
                ("accent", t.accent),
                ("gpu", t.gpu),
                ("dla", t.dla),
                ("amber", t.amber),
                ("error", t.error),
            ];
            for (name, ink) in inks {
                for back in [base, panel, raised, hover, selected] {
                    let ratio = contrast(ink, back);
                    assert!(ratio >= 4.5, "dark {}: {name} {ratio:.2}", t.dark);
                }
            }
            for (ink, back) in [
                (t.amber, t.amber_soft),
                (t.error, t.error_soft),
                (t.text, t.amber_soft),
                (t.text, t.error_soft),
                (t.dim, t.error_soft),
                (t.gpu, t.gpu_soft),
                (t.dla, t.dla_soft),
                (t.strong, t.mark),
                (t.on_device, t.gpu),
                (t.on_device, t.dla),
            ] {
                let ratio = contrast(ink, back);
                assert!(ratio >= 4.5, "dark {}: {ink:?} {back:?} {ratio:.2}", t.dark);
            }
        }
    }

    #[test]
    fn pictures_have_the_colours_of_the_window() {
        for (t, palette) in [(DARK, Palette::Dark), (LIGHT, Palette::Light)] {
            let c = palette.colours();
            for (ours, theirs) in [
                (t.panel, c.back),
                (t.text, c.text),
                (t.dim, c.faint),
                (t.line, c.grid),
                (t.accent, c.mine),
                (t.reference, c.published),
                (t.current, c.current),
                (t.amber, c.line),
            ] {
                let theirs = Color32::from_rgb(theirs.0, theirs.1, theirs.2);
                assert_eq!(ours, theirs, "{palette:?}");
            }
        }
    }
}
