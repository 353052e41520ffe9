package embedded

import "strings"

// tokenKind is what the little lexer tells apart: just enough of ClickHouse's
// own lexer to find the end of a statement's head without being fooled by
// strings, quoted names and comments.
type tokenKind byte

const (
	tokenEnd    tokenKind = iota
	tokenWord             // identifier, keyword or number
	tokenQuoted           // "name" or `name`
	tokenString           // 'text' or $tag$text$tag$
	tokenMark             // one byte of punctuation
)

type token struct {
	kind       tokenKind
	start, end int // byte offsets
}

// lexer walks SQL token by token, skipping white space and comments.
type lexer struct {
	sql string
	pos int
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (l *lexer) next() token {
	l.skipBlank()
	start := l.pos
	if start >= len(l.sql) {
		return token{kind: tokenEnd, start: len(l.sql), end: len(l.sql)}
	}
	kind := tokenMark
	switch c := l.sql[start]; {
	case isWord(c):
		kind = tokenWord
		for l.pos < len(l.sql) && isWord(l.sql[l.pos]) {
			l.pos++
		}
	case c == '\'':
		kind = tokenString
		l.skipQuoted(c)
	case c == '"' || c == '`':
		kind = tokenQuoted
		l.skipQuoted(c)
	case c == '$' && l.skipHeredoc():
		kind = tokenString
	default:
		l.pos++
	}
	return token{kind: kind, start: start, end: l.pos}
}

// skipBlank moves past white space and the comment forms --, #, /* */.
func (l *lexer) skipBlank() {
	for l.pos < len(l.sql) {
		rest := l.sql[l.pos:]
		switch c := rest[0]; {
		case c == ' ' || c >= '\t' && c <= '\r' || c == 0:
			l.pos++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			if end := strings.IndexByte(rest, '\n'); end >= 0 {
				l.pos += end + 1
			} else {
				l.pos = len(l.sql)
			}
		case strings.HasPrefix(rest, "/*"):
			if end := strings.Index(rest[2:], "*/"); end >= 0 {
				l.pos += end + 4
			} else {
				l.pos = len(l.sql)
			}
		default:
			return
		}
	}
}

// skipQuoted moves past a literal that ends at an unescaped, undoubled quote.
func (l *lexer) skipQuoted(quote byte) {
	l.pos++
	for l.pos < len(l.sql) {
		switch l.sql[l.pos] {
		case '\\':
			l.pos += 2
			continue
		case quote:
			l.pos++
			if l.pos >= len(l.sql) || l.sql[l.pos] != quote {
				return
			}
		}
		l.pos++
	}
	l.pos = len(l.sql)
}

// skipHeredoc moves past $tag$ ... $tag$, if the position holds one.
func (l *lexer) skipHeredoc() bool {
	end := l.pos + 1
	for end < len(l.sql) && isWord(l.sql[end]) {
		end++
	}
	if end >= len(l.sql) || l.sql[end] != '$' {
		return false
	}
	tag := l.sql[l.pos : end+1]
	closing := strings.Index(l.sql[end+1:], tag)
	if closing < 0 {
		return false
	}
	l.pos = end + 1 + closing + len(tag)
	return true
}

// is reports whether t is the keyword or mark, whatever its case.
func (l *lexer) is(t token, word string) bool {
	return (t.kind == tokenWord || t.kind == tokenMark) && strings.EqualFold(l.sql[t.start:t.end], word)
}

// name is the text of an identifier token without its quotes.
func (l *lexer) name(t token) string {
	text := l.sql[t.start:t.end]
	if t.kind == tokenQuoted && len(text) >= 2 {
		return text[1 : len(text)-1]
	}
	return text
}

// skipGroup moves past the parenthesised group whose opening was just read.
func (l *lexer) skipGroup() {
	for depth := 1; depth > 0; {
		t := l.next()
		switch {
		case t.kind == tokenEnd:
			return
		case l.is(t, "("):
			depth++
		case l.is(t, ")"):
			depth--
		}
	}
}

// insertHead describes INSERT text up to where its data begins.
type insertHead struct {
	sql    string // the statement without FORMAT clause and data
	format string // as written; empty when the text names none
	data   int    // offset of the first byte of data in the text
	// settings means that the statement has a SETTINGS clause of its own.
	settings bool
	// complete means FORMAT or VALUES was seen, so that what follows in the
	// text is data; otherwise the text ended first.
	complete bool
}

// splitInsert separates an INSERT that takes data from that data. ok is false
// for everything else, INSERT ... SELECT included: that is run as it stands.
func splitInsert(sql string) (head insertHead, ok bool) {
	l := &lexer{sql: sql}
	if !l.is(l.next(), "INSERT") {
		return head, false
	}
	t := l.next()
	if l.is(t, "INTO") {
		t = l.next()
	}
	// TABLE and FUNCTION are keywords only when a name follows them.
	for _, word := range []string{"TABLE", "FUNCTION"} {
		if l.is(t, word) {
			after := *l
			if n := after.next(); n.kind == tokenWord || n.kind == tokenQuoted || l.is(n, "{") {
				t = l.next()
			}
		}
	}
	l.skipName(t)
	for {
		t := l.next()
		switch {
		case t.kind == tokenEnd:
			head.sql, head.data = sql, len(sql)
			return head, true
		case l.is(t, ";"):
			head.sql, head.data = sql[:t.start], len(sql)
			return head, true
		case l.is(t, "SELECT"), l.is(t, "WITH"), l.is(t, "WATCH"), l.is(t, "FROM"):
			return head, false
		case l.is(t, "("):
			after := *l
			if n := after.next(); l.is(n, "SELECT") || l.is(n, "WITH") || l.is(n, "(") {
				return head, false
			}
			l.skipGroup()
		case l.is(t, "SETTINGS"):
			head.settings = true
		case l.is(t, "VALUES"):
			head.sql, head.format, head.data, head.complete = sql[:t.start], "Values", t.end, true
			return head, true
		case l.is(t, "FORMAT"):
			name := l.next()
			if name.kind != tokenWord && name.kind != tokenQuoted {
				return head, false
			}
			head.sql, head.format, head.data, head.complete = sql[:t.start], l.name(name), dataStart(sql, name.end), true
			return head, true
		}
	}
}

// skipName moves past [database.]table, a function call or a {name:Identifier}
// parameter whose first token is t.
func (l *lexer) skipName(t token) {
	for {
		if l.is(t, "{") {
			for t.kind != tokenEnd && !l.is(t, "}") {
				t = l.next()
			}
		}
		after := *l
		if !l.is(after.next(), ".") {
			return
		}
		*l = after
		t = l.next()
	}
}

// dataStart follows ClickHouse's rule for what separates FORMAT Name from the
// data: blanks, an optional semicolon, and at most one line break.
func dataStart(sql string, at int) int {
	blanks := func() {
		for at < len(sql) && (sql[at] == ' ' || sql[at] == '\t' || sql[at] == '\f') {
			at++
		}
	}
	blanks()
	if at < len(sql) && sql[at] == ';' {
		at++
		blanks()
	}
	if at < len(sql) && sql[at] == '\r' {
		at++
	}
	if at < len(sql) && sql[at] == '\n' {
		at++
	}
	return at
}

// queryShape is what the server must know of a statement before running it.
type queryShape struct {
	verb   string // first keyword in upper case, past opening brackets
	format string // of the FORMAT clause, as written; empty without one
	totals bool   // WITH TOTALS appears
	input  bool   // calls the function input()
	file   string // "INTO OUTFILE" or "FROM INFILE" when the text has it
}

// shapeOf scans a whole statement. INTO OUTFILE and FROM INFILE make the
// engine's client side touch local files, which no HTTP client may ask for.
func shapeOf(sql string) queryShape {
	var shape queryShape
	l := &lexer{sql: sql}
	var before, previous token
	for depth := 0; ; {
		t := l.next()
		if t.kind == tokenEnd {
			return shape
		}
		if shape.verb == "" && t.kind == tokenWord {
			shape.verb = strings.ToUpper(l.sql[t.start:t.end])
		}
		switch {
		case l.is(t, "("):
			depth++
			shape.input = shape.input || l.is(previous, "input")
		case l.is(t, ")"):
			depth--
		case l.is(t, "TOTALS"):
			shape.totals = true
		case t.kind == tokenString && l.is(before, "INTO") && l.is(previous, "OUTFILE"):
			shape.file = "INTO OUTFILE"
		case t.kind == tokenString && l.is(before, "FROM") && l.is(previous, "INFILE"):
			shape.file = "FROM INFILE"
		case depth == 0 && l.is(previous, "FORMAT") && (t.kind == tokenWord || t.kind == tokenQuoted):
			shape.format = l.name(t)
		}
		before, previous = previous, t
	}
}

// quoteString renders s as a ClickHouse string literal.
func quoteString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// quoteName renders s as a quoted ClickHouse identifier.
func quoteName(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}
