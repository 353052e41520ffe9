package replay

// Help is the reference of the mapping language.
const Help = `A mapping is one YAML document. Unknown keys are errors, and all errors are
reported at once with their lines.

name          the mapping's name; with the file's name it makes the events' ids
kind          player, latency, checkout, subtitle, score or drop
format
  type        csv      fields between delimiters, quoted as in RFC 4180
              fields   fields between runs of white space
              matrix   numbers; every cell is a record with the columns
                       row and column (from 0) and value
              jsonl    one JSON object per line; columns are paths such as
                       user.id or items.0.sku
              parquet
  delimiter   csv: one character, a comma unless given; matrix: white space
              unless given
  header      csv, fields: whether the first line names the columns; true
              unless given
  columns     csv, fields without header: their names
file_pattern  regular expression that the file's base name must match; its named
              groups are columns of every row
lookups       list of joins; each adds a column to every row
  file        CSV file with header, beside the replayed file
  delimiter   a comma unless given
  key         column of that file to find; no key may have two values
  from        column of the row that holds the key; the same name unless given
  value       column of that file to add
  default     its value where nothing is found; empty unless given
  required    true refuses a row for which nothing is found
skip_when     list of conditions; a row that meets one is left out and counted
  column      the column, and one of:
  equals      a text or a list of texts
  number      a number, however it is written
  same_as     another column with the same text
  empty       true
fields        the event's fields by their JSON names; each is an object with
  from        a column
  const       a text
  template    text with {column}s, empty if one of them is; {{ and }} are braces
  default     what to take instead of empty text; without it the field keeps its
              own default
  map         object of text to text; text that is not in it refuses the row
  as          time              to Unix ms, with layout (Go's reference time,
                                rfc3339, unix-s or unix-ms) and zone (UTC unless
                                given); fractions of a ms are cut off
              steps             a count n to start + n·step, with start
                                (RFC 3339) and step (such as 15.7s)
              decimal-to-minor  an amount to minor units of the row's currency,
                                exactly; finer amounts refuse the row, unless
                                they are within tolerance (major units) of a
                                minor unit
              seconds-to-ms     by moving the point; fields of whole ms round
                                half to even
              round             to a whole number, half to even
catalogue     list of drops, as drop records are on the wire; times may be
              RFC 3339; id, type and ingest_time are filled in, and event_time
              is start_ms unless given

A column is named; without such a name a number counts the file's columns from
1. Every row also has @record and @line (from 1) and @file. White space around a
value is not part of it. Empty lines are no rows. gzip is detected.

id is derived from the name of the source and the record's number unless it is
mapped, and ingest_time is event_time unless it is mapped.

A refused row has one of these reasons, or one of the event definition's:
field_count, quotes, encoding, line_too_long, json, not_a_number, bad_time,
not_in_map, no_match.
`
