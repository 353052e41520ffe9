package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// view shows installations as tables: one after another, or on a terminal each in the place of the one before.
type view struct {
	w io.Writer
	// inPlace writes every page over the one before, cut to height lines.
	inPlace  bool
	coloured bool
	// width and height of the terminal; 0 without one.
	width, height int
}

// newView makes a view that refreshes in place, if it is asked to and w is a terminal. Colours are for terminals too,
// unless NO_COLOR asks for none.
func newView(w *os.File, refresh bool) *view {
	v := &view{w: w}
	if term.IsTerminal(int(w.Fd())) {
		v.coloured = os.Getenv("NO_COLOR") == ""
		if width, height, err := term.GetSize(int(w.Fd())); err == nil {
			v.width, v.height = width, height
			v.inPlace = refresh && height > 3
		}
	}
	return v
}

const (
	cursorHome  = "\x1b[H"
	restOfLine  = "\x1b[K"
	restOfPlace = "\x1b[J"
)

// show writes one look, in one write so that a terminal does not flicker.
func (v *view) show(s installation) error {
	page := v.page(s)
	if v.inPlace {
		if lines := strings.SplitAfter(page, "\n"); len(lines) > v.height {
			cut := len(lines) - v.height + 1
			page = strings.Join(lines[:v.height-2], "") + fmt.Sprintf("… %d more lines; --once prints them all\n", cut)
		}
		page = cursorHome + strings.ReplaceAll(page, "\n", restOfLine+"\n") + restOfPlace
	}
	_, err := io.WriteString(v.w, page)
	return err
}

func (v *view) page(s installation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, over %.1f s\n", s.At.Format("2006-01-02 15:04:05 UTC"), s.Interval)
	for _, n := range s.Nodes {
		switch {
		case !n.Answers:
			fmt.Fprintf(&b, "%s  %s\n", n.Node, v.paint(text.FgRed, "does not answer"))
		case n.Waits != "":
			fmt.Fprintf(&b, "%s  %s  %s\n", n.Node, v.paint(text.FgYellow, "not ready"), resources(n))
		default:
			fmt.Fprintf(&b, "%s  %s  %s\n", n.Node, v.paint(text.FgGreen, "ready"), resources(n))
		}
	}
	for _, problem := range s.Problems {
		if v.width > 0 {
			problem = text.WrapSoft(problem, v.width-2)
		}
		fmt.Fprintln(&b, v.paint(text.FgRed, "! ")+strings.ReplaceAll(problem, "\n", "\n  "))
	}
	if len(s.Loops) > 0 {
		fmt.Fprintf(&b, "\n%s\n", indent(v.loops(s).Render()))
	}
	if len(s.Groups) > 0 {
		t := newTable("group in Kafka", "lag", "offsets/s", "largest partition")
		for _, g := range s.Groups {
			largest := absent
			if g.Lag > 0 {
				largest = fmt.Sprintf("%s has %s", g.Partition, percentage(g.Largest))
			}
			t.AppendRow(table.Row{g.Group, thousands(float64(g.Lag)), thousands(g.Rate), largest})
		}
		fmt.Fprintf(&b, "\n%s\n", indent(t.Render()))
	}
	if len(s.Tables) > 0 {
		t := newTable("table in ClickHouse", "rows", "size", "parts", "new parts/min")
		for _, of := range s.Tables {
			t.AppendRow(table.Row{of.Table, thousands(of.Rows), size(of.Bytes), thousands(of.ActiveParts), thousands(of.PartsPerMinute)})
		}
		fmt.Fprintf(&b, "\n%s\n", indent(t.Render()))
	}
	b.WriteByte('\n')
	return b.String()
}

func (v *view) loops(s installation) table.Writer {
	several := len(s.Nodes) > 1
	header := []any{"stage or topic", "how", "why", "records/s", "lag", "clears in", "stale by", "inserts/min", "last commit", "keys", "state"}
	if several {
		header = append(header, "process")
	}
	t := newTable(header...)
	var numbers []table.ColumnConfig
	for i := 4; i <= 11; i++ {
		numbers = append(numbers, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(numbers)
	t.Style().Size.WidthMax = max(0, v.width-2) // behind the margin
	group := ""
	for _, l := range s.Loops {
		name := l.Group
		if l.Topic != "" {
			if l.Node+l.Group != group {
				group = l.Node + l.Group
				t.AppendSeparator()
			}
			name = "→ " + l.Topic
		}
		cells := table.Row{name, v.paint(l.colour(), string(l.Condition)), l.Why, thousands(l.Rate), thousands(l.Lag), l.clears(), l.stale(),
			"", l.committed(s.At), "", ""}
		if l.Topic != "" {
			cells[7] = thousands(l.Batches)
		} else {
			cells[9], cells[10] = thousands(l.StateKeys), size(l.StateBytes)
		}
		if several {
			cells = append(cells, l.Node)
		}
		t.AppendRow(cells)
	}
	return t
}

func (v *view) paint(c text.Color, s string) string {
	if !v.coloured {
		return s
	}
	return c.Sprint(s)
}

func (l loopStatus) colour() text.Color {
	switch l.Condition {
	case keepingUp:
		return text.FgGreen
	case down, failing:
		return text.FgRed
	default:
		return text.FgYellow
	}
}

func (l loopStatus) clears() string {
	switch {
	case l.Lag == 0 || l.Condition == keepingUp:
		return absent
	case l.Growth > 0:
		return "grows"
	case l.Clears == nil:
		return "stands"
	}
	return seconds(*l.Clears)
}

func (l loopStatus) stale() string {
	switch {
	case l.Stale == nil:
		return "?"
	case *l.Stale == 0:
		return absent
	}
	return seconds(*l.Stale)
}

func (l loopStatus) committed(now time.Time) string {
	if l.LastCommit == 0 {
		return "never"
	}
	return seconds(max(0, float64(now.UnixMilli())/1000-l.LastCommit)) + " ago"
}

func resources(n nodeStatus) string {
	s := fmt.Sprintf("%.1f of %.0f processors, %s resident", n.Cores, n.Processors, size(n.ResidentBytes))
	if n.Memory > 0 {
		s += ", " + percentage(n.Memory) + " of GOMEMLIMIT"
	}
	return s
}

// seconds is a duration for a reader: two figures that matter.
func seconds(s float64) string {
	switch d := time.Duration(s * float64(time.Second)); {
	case s >= 100*24*3600:
		return "over 100 days"
	case s >= 3600:
		return d.Round(time.Minute).String()[:len(d.Round(time.Minute).String())-2]
	case s >= 60:
		return d.Round(time.Second).String()
	case s >= 10:
		return fmt.Sprintf("%.0fs", s)
	default:
		return fmt.Sprintf("%.1fs", s)
	}
}

// thousands rounds and sets thousands apart.
func thousands(v float64) string {
	digits := fmt.Sprintf("%.0f", math.Abs(v))
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	if v < 0 && digits != "0" {
		return "-" + digits
	}
	return digits
}

// size is bytes in the largest unit that leaves a figure before the point.
func size(bytes float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if bytes < 1024 {
			if unit == "B" {
				return fmt.Sprintf("%.0f B", bytes)
			}
			return fmt.Sprintf("%.1f %s", bytes, unit)
		}
		bytes /= 1024
	}
	return fmt.Sprintf("%.1f TiB", bytes)
}
