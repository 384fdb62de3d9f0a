"""The look: a quiet paper, one accent, two signs. Colours of Gradio's own parts; style.css does the rest."""

import gradio as gr

INDIGO = gr.themes.Color(
    c50="#f1f3fd",
    c100="#e2e6fb",
    c200="#c7cef6",
    c300="#a3aeee",
    c400="#7d8ce6",
    c500="#5566d6",
    c600="#3b4bc8",
    c700="#303da6",
    c800="#283385",
    c900="#222b69",
    c950="#161b42",
    name="levers",
)
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Gradio's own parts in these colours, light and dark."""
    return gr.themes.Base(
        primary_hue=INDIGO, secondary_hue=INDIGO, neutral_hue="slate", radius_size="md", spacing_size="md",
        text_size="md", font=SANS, font_mono=MONO,
    ).set(
        body_background_fill="#f6f8fb", body_background_fill_dark="#10141d",
        body_text_color="#1c2233", body_text_color_dark="#e7eaf2",
        body_text_color_subdued="#566073", body_text_color_subdued_dark="#a2acbf",
        background_fill_primary="#ffffff", background_fill_primary_dark="#181d29",
        background_fill_secondary="#f6f8fb", background_fill_secondary_dark="#10141d",
        border_color_primary="#dfe3ec", border_color_primary_dark="#2c3446",
        block_background_fill="#ffffff", block_background_fill_dark="#181d29",
        block_border_color="#dfe3ec", block_border_color_dark="#2c3446", block_border_width="1px",
        block_label_background_fill="transparent", block_label_background_fill_dark="transparent",
        block_label_border_width="0px", block_label_text_color="#566073", block_label_text_color_dark="#a2acbf",
        block_title_text_weight="600", block_title_text_color="#1c2233", block_title_text_color_dark="#e7eaf2",
        block_shadow="none", block_radius="12px",
        input_background_fill="#ffffff", input_background_fill_dark="#10141d",
        input_border_color="#c9d0dd", input_border_color_dark="#3a445a", input_border_width="1px",
        input_border_color_focus="#3b4bc8", input_border_color_focus_dark="#8f9df0",
        button_primary_background_fill="#3b4bc8", button_primary_background_fill_dark="#5566d6",
        button_primary_background_fill_hover="#303da6", button_primary_background_fill_hover_dark="#6677e2",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="#ffffff", button_secondary_background_fill_dark="#1f2635",
        button_secondary_background_fill_hover="#eef1f8", button_secondary_background_fill_hover_dark="#2a3347",
        button_secondary_border_color="#c9d0dd", button_secondary_border_color_dark="#3a445a",
        button_border_width="1px", button_transition="background-color .12s",
        color_accent_soft="#e2e6fb", color_accent_soft_dark="#262f57",
    )  # fmt: skip
