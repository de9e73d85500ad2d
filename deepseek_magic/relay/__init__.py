"""The relay of a class: it holds the key, keeps the rules, and gives one answer to all who ask the same."""
