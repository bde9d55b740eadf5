"""Reports as pages: self-contained HTML with plots, and CSV for spreadsheets."""
