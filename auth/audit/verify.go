package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Report is what Verify found.
type Report struct {
	First, Last uint64 // lines, by their numbers
	Head        string // the last line: its number and its hash
	Findings    []Finding
	More        int // findings beyond the first 100
	// Notes are what the trail itself tells of its past: removed files, lost
	// events, repairs.
	Notes []Finding
}

// Finding is one thing in one place.
type Finding struct {
	File string // base name
	Line int    // in that file, from 1; 0: the file as a whole
	Seq  uint64 // the line's number in the chain, as it names it
	What string
}

// String is "FILE:LINE: WHAT".
func (f Finding) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.What
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.What)
}

// maxFindings bounds a Report.
const maxFindings = 100

// parseHead reads "NUMBER HASH", the last line of a trail as Report.Head tells it.
func parseHead(s string) (link, error) {
	digits, text, ok := strings.Cut(s, " ")
	seq, err := strconv.ParseUint(digits, 10, 64)
	h, herr := parseHash(text)
	if !ok || err != nil || herr != nil {
		return link{}, errors.New("head of the audit trail: want a line's number and its hash")
	}
	return link{seq, h}, nil
}

// Verify reads the whole trail, older files first, and finds lines that were
// changed, are missing or stand elsewhere. head, if not empty, is a Report.Head
// that was noted before: the trail must still hold that line. A trail that is being
// written is verified up to its last line of this moment.
func Verify(file, head string) (*Report, error) {
	v := &verifier{report: &Report{}, heads: make(map[uint64]hash)}
	if head != "" {
		noted, err := parseHead(head)
		if err != nil {
			return nil, err
		}
		v.heads[noted.seq] = noted.hash
	}
	files, err := v.open(file)
	if err != nil {
		return nil, fmt.Errorf("verify audit trail: %w", err)
	}
	defer files.current.Close()
	for _, name := range files.older {
		if err := v.older(name); err != nil {
			return nil, fmt.Errorf("verify audit trail: %w", err)
		}
	}
	if err := v.read(filepath.Base(file), io.NewSectionReader(files.current, 0, files.size)); err != nil {
		return nil, fmt.Errorf("verify audit trail: %w", err)
	}
	v.conclude(filepath.Base(file))
	return v.report, nil
}

// files is the trail at one moment.
type files struct {
	older   []string
	current *os.File
	size    int64
}

// verifier walks along the chain.
type verifier struct {
	report    *Report
	at        link
	removedTo uint64
	heads     map[uint64]hash // lines that must be there, by number
	name      string
	line      int
}

// open takes stock under the lock: no append is half done then.
func (v *verifier) open(file string) (s files, err error) {
	if _, err := os.Stat(file); err != nil {
		return s, err
	}
	unlock, err := lock(file, syscall.LOCK_SH)
	if err != nil {
		return s, err
	}
	defer unlock()
	if s.older, err = olderFiles(file); err != nil {
		return s, err
	}
	head, err := readHead(file)
	if err != nil {
		v.find(Finding{File: filepath.Base(headFile(file)), What: err.Error()})
	} else if head.seq > 0 {
		v.heads[head.seq] = head.hash
	}
	if s.current, err = os.Open(file); err != nil {
		return s, err
	}
	i, err := s.current.Stat()
	if err == nil {
		s.size = i.Size()
	}
	return s, err
}

func (v *verifier) older(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // rotated away since: the next file's first line tells
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return v.read(filepath.Base(name), f)
}

func (v *verifier) find(f Finding) {
	if len(v.report.Findings) == maxFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, f)
}

// read goes through one file.
func (v *verifier) read(name string, r io.Reader) error {
	v.name, v.line = name, 0
	in := bufio.NewReaderSize(r, maxLine)
	for {
		b, err := in.ReadSlice('\n')
		if len(b) == 0 && err == io.EOF {
			return nil
		}
		v.line++
		switch {
		case err == io.EOF:
			v.find(Finding{name, v.line, 0, "the last line is torn"})
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			v.find(Finding{name, v.line, 0, "the line is too long"})
			return nil
		case err != nil:
			return err
		}
		v.check(b)
	}
}

// check holds a line against the one before it. What it names as its own place is
// believed from there on, so that one change is one finding.
func (v *verifier) check(b []byte) {
	e, before, own, err := parseLine(b)
	here := func(what string) { v.find(Finding{v.name, v.line, own.seq, what}) }
	if err != nil && !errors.Is(err, errChanged) {
		here(err.Error())
		return
	}
	if v.report.First == 0 {
		v.report.First = own.seq
		v.at = before // what was before the first file is looked at in the end
	}
	switch {
	case own.seq <= v.at.seq:
		here(fmt.Sprintf("line %d stands behind line %d: lines were moved or repeated", own.seq, v.at.seq))
	case own.seq == v.at.seq+2:
		here(fmt.Sprintf("line %d is missing before line %d", v.at.seq+1, own.seq))
	case own.seq > v.at.seq+2:
		here(fmt.Sprintf("lines %d to %d are missing before line %d", v.at.seq+1, own.seq-1, own.seq))
	case before.hash != v.at.hash:
		here(fmt.Sprintf("line %d does not follow line %d, which was changed or exchanged", own.seq, v.at.seq))
	}
	if err != nil {
		here(fmt.Sprintf("line %d was changed: its hash is another", own.seq))
	}
	if want, ok := v.heads[own.seq]; ok {
		if want != own.hash {
			here(fmt.Sprintf("line %d is not the one that was noted as the head", own.seq))
		}
		delete(v.heads, own.seq)
	}
	v.note(e, own.seq)
	v.at = own
}

// note keeps what the trail says of itself.
func (v *verifier) note(e Event, seq uint64) {
	v.removedTo = max(v.removedTo, e.RemovedTo)
	switch e.Type {
	case Cut:
		v.find(Finding{v.name, v.line, seq, "the end was cut off before this line: " + e.Detail})
	case Lost, Repaired:
		if len(v.report.Notes) < maxFindings {
			v.report.Notes = append(v.report.Notes, Finding{v.name, v.line, seq, fmt.Sprintf("%s: %s (count %d, bytes %d)", e.Type, e.Detail, e.Count, e.Bytes)})
		}
	}
}

// conclude looks at both ends.
func (v *verifier) conclude(file string) {
	r := v.report
	r.Last = v.at.seq
	r.Head = fmt.Sprintf("%d %s", v.at.seq, v.at.hash)
	switch {
	case r.First > 1 && v.removedTo < r.First-1:
		v.find(Finding{file, 0, 0, fmt.Sprintf("lines %d to %d are missing at the beginning, and no rotation removed them", v.removedTo+1, r.First-1)})
	case r.First > 1:
		r.Notes = append(r.Notes, Finding{file, 0, 0, fmt.Sprintf("lines 1 to %d were removed by rotation", r.First-1)})
	}
	for seq := range v.heads {
		switch {
		case seq > v.at.seq:
			v.find(Finding{file, 0, seq, fmt.Sprintf("the end is missing: line %d is the last, line %d was written", v.at.seq, seq)})
		case seq >= r.First:
			v.find(Finding{file, 0, seq, fmt.Sprintf("line %d, which was noted as the head, is missing", seq)})
		}
	}
}
