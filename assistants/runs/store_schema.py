"""The tables of the record."""

from __future__ import annotations

FILE = "answers.sqlite"
VERSION = 4
"""A later one may only add."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, experiment TEXT NOT NULL, started_at TEXT NOT NULL,
    finished_at TEXT, outcome TEXT, manifest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prompts (digest TEXT PRIMARY KEY, system_prompt TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS assistants (
    run TEXT, persona TEXT, model TEXT, sampling TEXT NOT NULL,
    PRIMARY KEY (run, persona, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS placements (
    run TEXT, persona TEXT, model TEXT, persona_in TEXT NOT NULL,
    PRIMARY KEY (run, persona, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cases (
    run TEXT, case_id TEXT, turns TEXT NOT NULL, reference TEXT,
    PRIMARY KEY (run, case_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trials (
    run TEXT, position INTEGER, persona TEXT NOT NULL, model TEXT NOT NULL,
    case_id TEXT NOT NULL, repeat INTEGER NOT NULL, key TEXT NOT NULL, prompt TEXT NOT NULL,
    PRIMARY KEY (run, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    key TEXT, turn INTEGER, final INTEGER NOT NULL, run TEXT NOT NULL,
    answer TEXT NOT NULL, reasoning TEXT, status TEXT NOT NULL, finish_reason TEXT,
    input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER, reasoning_tokens INTEGER,
    cost_usd REAL, served_model TEXT, started_at TEXT, first_token_s REAL, total_s REAL,
    attempts INTEGER NOT NULL, UNIQUE (key, turn));
CREATE TABLE IF NOT EXISTS failures (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, key TEXT NOT NULL, turn INTEGER NOT NULL,
    status TEXT NOT NULL, error TEXT NOT NULL, kind TEXT NOT NULL, partial TEXT,
    attempts INTEGER NOT NULL, started_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS failures_by_trial ON failures (run, key);
CREATE TABLE IF NOT EXISTS scores (
    key TEXT, scorer TEXT, seen TEXT, value REAL, reason TEXT, detail TEXT,
    PRIMARY KEY (key, scorer, seen)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS votes (
    id INTEGER PRIMARY KEY, rater TEXT NOT NULL, kind TEXT NOT NULL, first TEXT NOT NULL,
    second TEXT NOT NULL, winner TEXT NOT NULL, reason TEXT, voted_at TEXT NOT NULL,
    UNIQUE (rater, first, second));
CREATE INDEX IF NOT EXISTS votes_by_trial ON votes (first);
CREATE TABLE IF NOT EXISTS vectors (
    model TEXT, text TEXT, vector BLOB NOT NULL, PRIMARY KEY (model, text)) WITHOUT ROWID;
"""
