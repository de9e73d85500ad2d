"""What scores can show: closed forms of textbooks and papers, no resampling and no seed, the same on every machine."""
