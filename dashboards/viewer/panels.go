package viewer

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/sql"
)

// servePanel answers with all queries of a panel, or with one of them as CSV.
func (h *Handler) servePanel(w http.ResponseWriter, r *http.Request) error {
	b, err := h.board(r)
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 32)
	targets := b.panels[uint32(id)]
	if err != nil || len(targets) == 0 {
		return problem(Unknown, "The dashboard has no panel %s with data.", shorten(r.PathValue("id")))
	}
	q, bad := b.parse(r)
	if bad != nil {
		return bad
	}
	if targets[0].Datasource == dashboards.Prometheus {
		return h.serveMetrics(w, r, targets, q)
	}
	span, err := h.span(r.Context(), targets, q)
	if err != nil {
		return err
	}
	if q.export {
		target, err := chosen(targets, q.ref)
		if err != nil {
			return err
		}
		return h.exportTable(w, r, target, q.vars(span))
	}
	frames := make([]*frame, len(targets))
	group, ctx := errgroup.WithContext(r.Context())
	for i, t := range targets {
		group.Go(func() (err error) {
			frames[i], err = h.frame(ctx, t, q.vars(span))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	answer := newAnswer(span)
	for i, f := range frames {
		answer.add(targets[i].Ref, "", f.columns, f.truncated)
	}
	return h.write(w, answer)
}

// chosen is the target of a reference, the first for none.
func chosen(targets []dashboards.Target, ref string) (dashboards.Target, error) {
	i := slices.IndexFunc(targets, func(t dashboards.Target) bool { return ref == "" || t.Ref == ref })
	if i < 0 {
		return dashboards.Target{}, problem(Unknown, "The panel has no query %s.", shorten(ref))
	}
	return targets[i], nil
}

func (h *Handler) write(w http.ResponseWriter, answer *panelAnswer) error {
	text := answer.end()
	if len(text) > h.cfg.MaxBytes {
		return problem(TooMuch, "The answer has %d MiB; %d are sent at the most.", len(text)>>20, h.cfg.MaxBytes>>20).
			fixedBy("Choose a shorter range or fewer values.")
	}
	w.Header().Set("Content-Type", jsonType)
	_, err := w.Write(text)
	return err
}

// span is the range that these targets are asked for. A drop that they are about must be known: an empty panel would
// leave open whether nothing happened or the name is wrong.
func (h *Handler) span(ctx context.Context, targets []dashboards.Target, q *request) (timeRange, error) {
	var times dropTimes
	if q.from.ofDrop() || q.to.ofDrop() || slices.ContainsFunc(targets, aboutDrop) {
		var err error
		if times, err = h.times(ctx, q.drop()); err != nil {
			return timeRange{}, err
		}
	}
	if !slices.ContainsFunc(targets, aboutCues) {
		times.firstCue, times.lastCue = times.start, 0 // the drop goes on without cues, and so do its experiments
	}
	span, bad := resolve(q.from, q.to, h.cfg.Now().UnixMilli(), times, h.cfg.Refresh, q.points)
	if bad != nil {
		return span, bad
	}
	return span, nil
}

// aboutCues says whether a target tells of a stream's subtitles.
func aboutCues(t dashboards.Target) bool {
	q, err := sql.Lookup(t.Name)
	return err == nil && q.Topic == "localization"
}

func aboutDrop(t dashboards.Target) bool {
	if _, own := t.With["drop"]; own {
		return false
	}
	q, err := sql.Lookup(t.Name)
	return err == nil && slices.ContainsFunc(q.Params, func(p sql.Param) bool { return p.Name == "drop" })
}

// times are the drop's anchors.
func (h *Handler) times(ctx context.Context, drop string) (dropTimes, error) {
	if drop == "" {
		return dropTimes{}, problem(UnknownDrop, "No drop is chosen.").fixedBy("Choose one; while there is none, droplift simulate sends one.")
	}
	return shared(ctx, h, "times\x00"+drop, func(ctx context.Context) (times dropTimes, size int, err error) {
		const name = "dashboard_drop_times"
		table, err := h.cfg.Source.Query(ctx, name, map[string]any{"drop": drop, "allowed_s": int64(h.cfg.AllowedLateness / time.Second)}, 1)
		if err != nil {
			return times, 0, err
		}
		if len(table.Rows) == 0 {
			return times, 0, problem(UnknownDrop, "There is no drop %s.", shorten(drop)).fixedBy("Choose another drop.")
		}
		var at [5]int64
		if len(table.Columns) != len(at) {
			return times, 0, fmt.Errorf("query %s has %d columns", name, len(table.Columns))
		}
		for i, cell := range table.Rows[0] {
			if t, ok := deref(cell).(time.Time); ok {
				at[i] = t.UnixMilli()
			}
		}
		return dropTimes{at[0], at[1], at[2], at[3], at[4]}, 40, nil
	})
}

// frame is the answer of one target as the page gets it.
func (h *Handler) frame(ctx context.Context, t dashboards.Target, v dashboards.Vars) (*frame, error) {
	return ask(ctx, h, "frame", t, v, h.cfg.MaxRows, func(table *Table) (*frame, int, error) {
		f := &frame{columns: appendColumns(nil, table), truncated: table.Truncated}
		if len(f.columns) > h.cfg.MaxBytes {
			return nil, 0, problem(TooMuch, "The answer has %d MiB; %d are sent at the most.", len(f.columns)>>20, h.cfg.MaxBytes>>20).
				fixedBy("Choose a shorter range or fewer values.")
		}
		return f, len(f.columns), nil
	})
}

// ask runs a target's query, unless its answer is known in this form.
func ask[T any](ctx context.Context, h *Handler, form string, t dashboards.Target, v dashboards.Vars, rows int, as func(*Table) (T, int, error)) (T, error) {
	var none T
	params, err := v.Params(t)
	if err != nil {
		return none, err
	}
	values, err := json.Marshal(params)
	if err != nil {
		return none, err
	}
	return shared(ctx, h, form+"\x00"+t.Name+"\x00"+string(values), func(ctx context.Context) (T, int, error) {
		table, err := h.cfg.Source.Query(ctx, t.Name, params, rows)
		if err != nil {
			return none, 0, err
		}
		return as(table)
	})
}

// exportTable answers with CSV. What is more than one answer holds is left out, which a header says.
func (h *Handler) exportTable(w http.ResponseWriter, r *http.Request, t dashboards.Target, v dashboards.Vars) error {
	type export struct {
		text      []byte
		truncated bool
	}
	answer, err := ask(r.Context(), h, "csv", t, v, h.cfg.MaxExport, func(table *Table) (export, int, error) {
		text, err := tableCSV(table)
		return export{text, table.Truncated}, len(text), err
	})
	if err != nil {
		return err
	}
	return h.writeCSV(w, r, t, answer.text, answer.truncated)
}

func (h *Handler) writeCSV(w http.ResponseWriter, r *http.Request, t dashboards.Target, text []byte, truncated bool) error {
	if len(text) > h.cfg.MaxBytes {
		return problem(TooMuch, "The table has %d MiB; %d are sent at the most.", len(text)>>20, h.cfg.MaxBytes>>20).fixedBy("Choose a shorter range or fewer values.")
	}
	header := w.Header()
	header.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	header.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fmt.Sprintf("%s-%d-%s.csv", r.PathValue("uid"), t.Panel, t.Ref)))
	if truncated {
		header.Set("X-Droplift-Truncated", "true")
	}
	_, err := w.Write(text)
	return err
}

// option is one choice of a variable.
type option struct {
	Text  string `json:"text"`
	Value string `json:"value"`
}

// serveVariable answers with choices of a variable, those that hold the search text.
func (h *Handler) serveVariable(w http.ResponseWriter, r *http.Request) error {
	b, err := h.board(r)
	if err != nil {
		return err
	}
	t, ok := b.variables[r.PathValue("name")]
	if !ok {
		return problem(Unknown, "The dashboard has no variable %s.", shorten(r.PathValue("name")))
	}
	q, bad := b.parse(r)
	if bad != nil {
		return bad
	}
	answer := struct {
		Options []option `json:"options"`
		More    bool     `json:"more"`
	}{Options: []option{}}
	if aboutDrop(t) && q.drop() == "" {
		return writeJSON(w, answer) // before the first drop there is nothing to choose from
	}
	// Choices do not depend on the range, except where their query says so; the drop need not be known for them.
	span := timeRange{From: earliest, To: latest, Step: day}
	choices, err := ask(r.Context(), h, "options", t, q.vars(span), h.cfg.MaxExport, func(table *Table) (*choices, int, error) {
		c := &choices{more: table.Truncated}
		size := 0
		for _, row := range table.Rows {
			text := cellText(row[0])
			c.all = append(c.all, text)
			c.folded = append(c.folded, strings.ToLower(text))
			size += 2*len(text) + 32
		}
		return c, size, nil
	})
	if err != nil {
		return err
	}
	search := strings.ToLower(q.search)
	answer.More = choices.more
	for i, text := range choices.all {
		if !strings.Contains(choices.folded[i], search) {
			continue
		}
		if len(answer.Options) == q.limit {
			answer.More = true
			break
		}
		answer.Options = append(answer.Options, option{text, text})
	}
	return writeJSON(w, answer)
}

// choices are those of a variable; more says that not all are known here.
type choices struct {
	all, folded []string
	more        bool
}

// annotation is a mark over time in Unix ms; a nil end is a moment, or not known yet.
type annotation struct {
	Layer   string   `json:"layer"`
	Color   string   `json:"color"`
	Time    int64    `json:"time"`
	TimeEnd *int64   `json:"timeEnd"`
	Title   string   `json:"title"`
	Text    string   `json:"text"`
	Tags    []string `json:"tags"`
}

// serveAnnotations answers with all layers of a dashboard, in order of time.
func (h *Handler) serveAnnotations(w http.ResponseWriter, r *http.Request) error {
	b, err := h.board(r)
	if err != nil {
		return err
	}
	q, bad := b.parse(r)
	if bad != nil {
		return bad
	}
	all := []annotation{}
	if len(b.annotations) == 0 || q.drop() == "" {
		return writeJSON(w, all)
	}
	var targets []dashboards.Target
	for _, layer := range b.annotations {
		targets = append(targets, layer.target)
	}
	span, err := h.span(r.Context(), targets, q)
	if err != nil {
		return err
	}
	layers := make([][]annotation, len(b.annotations))
	group, ctx := errgroup.WithContext(r.Context())
	for i, layer := range b.annotations {
		group.Go(func() (err error) {
			layers[i], err = ask(ctx, h, "marks", layer.target, q.vars(span), h.cfg.MaxRows, layer.read)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	all = slices.Concat(append(layers, all)...)
	slices.SortStableFunc(all, func(a, b annotation) int { return int(min(max(a.Time-b.Time, -1), 1)) })
	return writeJSON(w, all)
}

// read turns the columns time, timeEnd, title, text and tags into annotations.
func (m mark) read(table *Table) ([]annotation, int, error) {
	at := map[string]int{}
	for i, name := range table.Columns {
		at[name] = i
	}
	for _, name := range []string{"time", "timeEnd", "title", "text", "tags"} {
		if _, ok := at[name]; !ok && len(table.Rows) > 0 { // an empty answer may come without its columns
			return nil, 0, fmt.Errorf("query %s has no column %s", m.target.Name, name)
		}
	}
	marks := []annotation{}
	size := 0
	for _, row := range table.Rows {
		moment, ok := deref(row[at["time"]]).(time.Time)
		if !ok {
			continue
		}
		a := annotation{Layer: m.target.Title, Color: m.color, Time: moment.UnixMilli(), Tags: []string{},
			Title: cellText(row[at["title"]]), Text: cellText(row[at["text"]])}
		if end, ok := deref(row[at["timeEnd"]]).(time.Time); ok {
			ms := end.UnixMilli()
			a.TimeEnd = &ms
		}
		if tags := cellText(row[at["tags"]]); tags != "" {
			a.Tags = strings.Split(tags, ",")
		}
		size += 128 + len(a.Title) + len(a.Text)
		marks = append(marks, a)
	}
	return marks, size, nil
}
