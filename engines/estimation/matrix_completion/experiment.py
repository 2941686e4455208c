"""The experiment: robust alternating minimisation and its rivals on one problem, told in events.

Events, by problem. The tour says those of the race, the picture and the phase diagram one after the other.
Contenders (the `series` of scalars), in this order where they run:

    "Robust AM"                 the method (plain)
    "Robust AM, accelerated"    the same with over-relaxed half-steps (ablation of ours)
    "Robust AM, split samples"  the proof's sample splitting (only with `split`)
    "Exact AM"                  exact alternating least squares
    "Sketch per row"            the paper's form: a sketch of its own for each row
    "SoftImpute" "LMaFit" "Scaled gradient" "Mean fill" "cmfrec"

Race (`synthetic`, `tour`), step = outer iteration, 0 = the start:
    Scalar  "error"               relative Frobenius error against the true matrix
    Scalar  "held-out error"      relative RMSE on observed entries that nobody saw
    Scalar  "residual"            relative residual on the entries used (for AM: non-increasing)
    Scalar  "passes"              work so far in passes over the entries (4 |Omega| k flops each), cumulative
    Scalar  "time/CPU seconds", "time/seconds"     cumulative, monitoring excluded: x axes of the error curves
    Scalar  "subspace distance"   ||(I - U* U*^T) U_t||_2, AM contenders
    Scalar  "incoherence"         mu(U_t) = max_i sqrt(m/k) ||row_i||, AM contenders
    Scalar  "true incoherence"    series "Truth", step 0
    Scalar  "inner steps"         mean conjugate-gradient steps a row, AM contenders
    Array   "singular values"     step = iteration, axes [("index", 1..k)], of Robust AM (keep)
    Array   "true singular values"  step 0, axes [("index", 1..k)]
    Array   "inner steps per row" step = iteration, counts, axes [("conjugate-gradient steps", 0..inner_steps)] (keep)
    Array   "sketch distortion"   step 0, counts, axes [("eigenvalue of R^T A^T A R", bin centres)] (if Sketch per row runs)
    Table   "race"                contender, rank, iterations, iterations to 1e-6, passes to 1e-6, final error, held-out error, note
Picture (`picture`, `tour`), step = outer iteration:
    Picture "original", "observed"                  step 0 (missing pixels grey)
    Picture "completed/<contender>"                 every iteration for Robust AM (keep), last one for the others and
                                                    a few on the way (keep); captions carry PSNR and SSIM
    Picture "difference/Robust AM"                  last, |completed - original| as grey
    Scalar  "picture PSNR" (dB), "picture SSIM"     on the missing pixels
    Scalar  "picture residual", "picture passes", "time/picture CPU seconds", "time/picture seconds"
    Array   "picture singular values"               step = iteration, axes [("index", 1..k)], of Robust AM (keep)
    Table   "picture"             contender, rank, ridge, iterations, PSNR, SSIM, note
    Table   "tuning"              method, rank, ridge, held-out RMSE of observed entries, chosen (also for ratings)
Ratings (`ratings`), step = outer iteration:
    Scalar  "ratings RMSE", "ratings MAE"           on the test entries, in the file's unit
    Scalar  "ratings residual", "ratings passes", "time/ratings CPU seconds", "time/ratings seconds"
    Array   "ratings singular values"
    Table   "ratings"             contender, rank, ridge, iterations, RMSE, MAE, note
    Table   "ratings preview"     row, column, observed, predicted: some test entries
    Text    "ratings file"        what was read: rows, columns, entries, range
    File    "predictions", "completed matrix"       CSV of the test entries with predictions; factors as .npz
Phase diagram (`phase`, `tour`), step = cell number; NaN = not measured yet:
    Array   "recovered/Robust AM", "recovered/Exact AM"   share of matrices recovered, axes [("rank", ...),
                                                          ("sampling rate", ...)], replaced cell by cell
    Array   "threshold"           step 0, sampling rate with as many entries as unknowns p = k(m+n-k)/(mn), axes [("rank", ...)]
Scaling (`scaling`), step = the swept quantity, series "Robust AM" and "Exact AM" and "Sketch per row":
    Scalar  "time/per iteration by rank"     step = rank, CPU seconds
    Scalar  "time/per iteration by entries"  step = |Omega|, CPU seconds
    Scalar  "time/slope by rank", "time/slope by entries"   step 0: fitted log-log slopes
All problems:
    Progress; Text "setting" (what is run, in a sentence); Alert "underdetermined" and the like; ClaimCheck at the end.
"""
