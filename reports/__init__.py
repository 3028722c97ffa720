"""What we tell people: a judgement as HTML, Markdown, JUnit, JSON and a table for the terminal. No arithmetic."""
