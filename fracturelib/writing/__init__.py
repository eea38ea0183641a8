"""How a number, a share, an interval, a table and a page are written; the colours that all of them share."""
