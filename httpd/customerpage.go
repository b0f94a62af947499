package httpd

import (
	"encoding/json"
	"io"
	"net/http"
	"path"
	"slices"
	"time"

	"bundleup/auth"
	"bundleup/vfs"
)

// maxReceipts bounds what the customer's page lists of what he sent.
const maxReceipts = 200

// home is the customer's page, or the tenants for support.
func home(q *request) error {
	if q.account.Role == auth.Support {
		return q.directory("/")
	}
	sent, err := q.sent()
	if err != nil {
		return err
	}
	return render(q.w, http.StatusOK, "customer", struct {
		layout
		Sent []sentItem
	}{q.layout("Send a bundle"), sent})
}

// sentItem is one row of what a customer sent.
type sentItem struct {
	Name, Size, Time string
	State, Class     string // the verdict in a word, and its colour
	Reason           string // why it was refused
	Receipt, Forget  string // addresses; empty: there is none
	when             time.Time
}

// sent is what the tenant sent, newest first.
func (q *request) sent() ([]sentItem, error) {
	list, err := q.receiptsIn("/receipts", nil)
	if err != nil {
		return nil, err
	}
	for i, err := range q.view.List(q.Context(), "/") {
		if err != nil {
			return nil, err
		}
		if vfs.IsUnfinished(i) {
			list = append(list, sentItem{Name: i.Name(), Size: showSize(i.Size()) + " kept", Time: showTime(i.ModTime()), State: "not finished", Class: "wait",
				Forget: escaped("/bundles/" + i.Name()), when: i.ModTime()})
		}
	}
	slices.SortStableFunc(list, func(a, b sentItem) int { return b.when.Compare(a.when) })
	return list[:min(len(list), maxReceipts)], nil
}

// receiptsIn appends the receipts of a directory and those below it.
func (q *request) receiptsIn(dir string, list []sentItem) ([]sentItem, error) {
	for i, err := range q.view.List(q.Context(), dir) {
		if err != nil {
			return list, err
		}
		name := path.Join(dir, i.Name())
		if i.IsDir() {
			if list, err = q.receiptsIn(name, list); err != nil {
				return list, err
			}
			continue
		}
		r, err := q.receiptAt(name)
		if err != nil {
			return list, err
		}
		it := sentItem{Name: r.StoredAs, Size: showSize(r.Size), Time: showTime(r.Finished), State: "accepted", Class: "good", Receipt: escaped(name), when: r.Finished}
		if r.Rejection != nil {
			it.Name, it.State, it.Class, it.Reason = r.Name, "refused", "bad", r.Rejection.Message
		}
		list = append(list, it)
	}
	return list, nil
}

func (q *request) receiptAt(name string) (*vfs.Receipt, error) {
	f, err := q.view.Open(q.Context(), name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return nil, err
	}
	doc, err := io.ReadAll(io.NewSectionReader(f, 0, i.Size()))
	if err != nil {
		return nil, err
	}
	r := &vfs.Receipt{}
	return r, json.Unmarshal(doc, r)
}
