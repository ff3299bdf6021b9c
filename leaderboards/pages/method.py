"""What each number on the pages means, by which formula it is found, and which way it errs."""

from __future__ import annotations

from dataclasses import dataclass

from leaderboards.charts.scripts import Script


@dataclass(frozen=True)
class Number:
    """One number: what it says, its formula as plain text (empty where words are enough), which way it errs, its source."""

    name: str
    says: str
    formula: str = ""
    errs: str = ""
    source: str = ""


@dataclass(frozen=True)
class Topic:
    """Numbers that belong together; `key` names the place on the page."""

    key: str
    title: str
    says: str
    numbers: tuple[Number, ...]


BALL = "B(x) = { x′ in [0,1]ᵈ : ‖x′ − x‖ ≤ ε }"

TOPICS: tuple[Topic, ...] = (
    Topic(
        "accuracy",
        "Accuracy",
        "Each accuracy is a share of the suite's test examples. Its interval tells what chance alone would change: how far"
        " other examples could have moved it.",
        (
            Number(
                "Standard accuracy",
                "Share of the unchanged examples for which the largest logit belongs to the label.",
                "1/n · #{ i : argmaxₖ f(xᵢ)ₖ = yᵢ }",
                "Neither way on these examples. It says nothing about other data.",
            ),
            Number(
                "Robust accuracy (AutoAttack)",
                "Share of examples that are still correct after AutoAttack, version 'standard'. It runs four attacks in a row:"
                " APGD-CE, targeted APGD-DLR, targeted FAB, Square. Each attacks only the examples that are still correct."
                " An example counts as broken only if the changed image was checked to lie in"
                f" {BALL}.",
                "1/n · #{ i : no attack found x′ in B(xᵢ) with argmaxₖ f(x′)ₖ ≠ yᵢ }",
                "High. It is an upper bound on the true robust accuracy: a stronger attack may find more.",
                "Croce and Hein, ICML 2020",
            ),
            Number(
                "Bounded robust accuracy",
                "A faster answer. Both APGD attack every example. FAB and Square, which take most of the time and break next to"
                " nothing that APGD has left, attack a random tenth of the examples that are left. This tenth is chosen before"
                " the attack. If one example of it breaks, all others are attacked too, and the result is complete. If none"
                " breaks, the others can hold only few that would. Pages then show an interval in place of a number: with"
                " 95 % confidence it holds what the full attack would give. It is not the interval of other results, which"
                " tells what other examples could change.",
                "[ (N − max{ B : C(N−B, m) / C(N, m) > 0.05 }) / n, N / n ],  m of N examples left were attacked to the end",
                "High, as AutoAttack itself.",
            ),
            Number(
                "Witness",
                "For each example that AutoAttack broke, the image that broke it is kept. Anyone can check it with one forward"
                f" pass: it lies in {BALL}, and is misclassified. The record names the file of its witnesses by sha256.",
            ),
            Number(
                "Best known, here",
                "Share of examples that nothing has broken: neither AutoAttack nor an image that was found beside it. Such"
                " images are handed in (harness challenge) or were made for another entrant, and each is kept as a witness."
                " Where this number is below AutoAttack's, it is the one that ranks.",
                "1/n · #{ i : AutoAttack left xᵢ, and no witness breaks it }",
                "High: it is an upper bound on the true robust accuracy, and at least as close to it as AutoAttack's number.",
            ),
            Number(
                "Images made for other entrants, hidden gradients",
                "AutoAttack follows gradients, and an entrant may hide them. So each entrant is shown the witnesses of the"
                " others, of examples that AutoAttack left. It is flagged if those of one other entrant break more than 5 %"
                " of what was shown, and the exact 95 % interval of that share lies above 2 %: 3 of 20, 6 of 100, 51 of"
                " 1,000.",
                "k/m > 0.05 and B⁻¹(0.025; k, m − k + 1) > 0.02,  k of the m images shown break",
                "Towards the entrant: that no image of others breaks it does not say that its gradients are sound.",
                "Athalye, Carlini and Wagner, ICML 2018; Clopper and Pearson, 1934",
            ),
            Number(
                "Published, best known",
                "What RobustBench publishes about the same classifier. It stands beside what was measured here and is never"
                " mixed with it. 'Best known' is the lowest accuracy that any published attack has reached.",
                errs="High, for the same reason.",
                source="Croce et al., NeurIPS 2021 Datasets and Benchmarks",
            ),
            Number(
                "Interval",
                "95 % intervals: Wilson's score interval for shares, Student's t for means. If the intervals of two entrants"
                " overlap, their order may be chance: a paired comparison tells smaller differences apart. Of several seeds:"
                " mean ± standard deviation, and an interval over seeds and examples (Hillis 2007) where it can be given.",
                "(p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n)",
                "Of one entrant it covers the choice of the examples alone: no randomness of training, and no weak attack.",
                "Wilson, JASA 1927",
            ),
            Number(
                "Rank",
                "Entrants are ranked by what is best known here, else by measured AutoAttack accuracy. Without one, the best"
                " known published accuracy counts; without that too, the published AutoAttack accuracy. Equal accuracies share"
                " a rank. A bounded result is"
                " ranked by the low end of its interval: it never stands above a complete one that its interval holds. Records"
                " of the first images alone stand on a board of their own, which says how many images that are; published"
                " numbers are shown there without a rank. Not ranked: runs on other images or under another threat model,"
                " and records that contradict themselves.",
            ),
        ),
    ),
    Topic(
        "energy",
        "Energies",
        "A classifier's logits f(x) can be read as an energy-based model. Energies grow with the scale of the logits, and"
        " that scale differs between entrants although no prediction depends on it. To compare entrants, what depends on the"
        " scale is given for the calibrated entrant, too. Raw numbers, and raw numbers over the standard deviation of E(x),"
        " describe one entrant and do not compare.",
        (
            Number(
                "Calibrated scale of the logits",
                "The factor c that makes the entrant's logits most likely on every second test image (at most 5,000), the same"
                " images for every entrant. It changes no prediction. Numbers 'at the calibrated scale' are those of the"
                " network c·f, which is the same whatever its logits are multiplied by. The attacks whose energies are given"
                " see c·f; raw energies are those of f at the images that they find.",
                "c = argmin over c > 0 of Σᵢ −log softmax(c·f(xᵢ))ᵧᵢ",
                "Neither way. Its interval (Huber's sandwich on log c) is wide where few images are wrong, and the intervals"
                " of calibrated numbers do not include it.",
                "Guo et al., ICML 2017",
            ),
            Number(
                "E(x), marginal energy",
                "Low for an image that the classifier finds likely.",
                "E(x) = −log Σₖ exp f(x)ₖ",
                source="Grathwohl et al., ICLR 2020",
            ),
            Number(
                "E(x,y), joint energy",
                "Low if the label fits the image. The cross-entropy is E(x,y) − E(x).",
                "E(x,y) = −f(x)ᵧ",
            ),
            Number(
                "ΔE(x), ΔE(x,y)",
                "How far an attack moves the energy. It is negative if the attacked image has the higher energy.",
                "ΔE(x) = E(x) − E(x_adv)",
                "|ΔE| errs low: these attacks take few steps, and more steps could move the energy further.",
                "Mirza et al., ECCV 2024",
            ),
            Number(
                "Terms of the KL",
                "TRADES trains on this divergence. It is the sum of a conditional and a marginal term.",
                "KL(p(·|x) ‖ p(·|x_adv)) = E[E(x_adv,k) − E(x,k)] + ΔE(x),  k ~ p(·|x)",
            ),
            Number(
                "Accuracy under one attack",
                "Ten attacks are run one by one. Each attacks every example, also those that another attack has broken.",
                errs="High, by more than AutoAttack's accuracy: these attacks take few steps.",
            ),
        ),
    ),
    Topic(
        "smoothness",
        "Smoothness",
        "How the loss and the energy change close to a test example. Every number is small if the landscape is smooth."
        " A maximum is searched for with few steps, so it errs low. Boards show every number at the calibrated scale of the"
        " logits; an entrant's page also shows it at the entrant's own. A classifier that hides its gradients"
        " gets a flag and no score.",
        (
            Number("Gradient norms", "Steepness at the example.", "‖∇E(x)‖₁, ‖∇E(x)‖₂"),
            Number(
                "Local Lipschitz constant",
                "The steepest slope found between the example and a point of the ball. Given for the logits and for E(x).",
                "max over x′ in B(x) of |E(x) − E(x′)| / ‖x − x′‖",
                "Low: 7 to 17 % below eight restarts of 40 steps.",
                "Yang et al., NeurIPS 2020",
            ),
            Number(
                "Curvature",
                "How much the gradient changes over a small step in the direction of its sign. Given for the cross-entropy ℓ"
                " and for E(x).",
                "‖∇ℓ(x + hz) − ∇ℓ(x)‖,  z = sign ∇ℓ(x) / ‖sign ∇ℓ(x)‖₂",
                source="Moosavi-Dezfooli et al., CVPR 2019",
            ),
            Number(
                "Local linearity gap",
                "The largest distance found between the loss and its tangent in the ball.",
                "max over δ of |ℓ(x+δ) − ℓ(x) − δ·∇ℓ(x)|",
                "Low.",
                "Qin et al., NeurIPS 2019",
            ),
            Number(
                "ELLE",
                "Squared distance of the loss from a straight line, at a point between two random points of the ball.",
                "(ℓ((1−a)xₐ + a x_b) − (1−a)ℓ(xₐ) − aℓ(x_b))²",
                source="Abad Rocamora et al., ICLR 2024",
            ),
            Number(
                "Gradient alignment",
                "0 if the gradient at a random point of the ball points the same way as at the example.",
                "1 − cos(∇ℓ(x), ∇ℓ(x+u))",
                source="Andriushchenko and Flammarion, NeurIPS 2020",
            ),
            Number(
                "Deviation in the ball",
                "How widely E(x+u) spreads over 16 random points u of the ball.",
                "sd of E(x+u)",
                "Low, by 1.7 %: a standard deviation of 16 draws is too small in the mean.",
            ),
            Number(
                "Range on the path",
                "The largest E(x) minus the smallest, on the straight line from the example to the PGD point."
                " Not given where PGD has no gradient to follow.",
                errs="Low.",
            ),
            Number(
                "Rank correlation",
                "Spearman's ρ between one number of smoothness and AutoAttack accuracy, over the entrants of a board, with its"
                " p-value. The entrants are few, chosen by hand and often related. So ρ describes this board and proves"
                " nothing about other classifiers.",
            ),
        ),
    ),
    Topic(
        "generation",
        "Generated images",
        "If a suite asks for it, images are made by lowering the classifier's energy step by step. They are compared with real"
        " images.",
        (
            Number(
                "FID, KID",
                "Distance between the features of generated images and those of real images. Two distances compare only if"
                " the number of images, the real images and the feature extractor are the same. So generated images, their"
                " starts and held-out images are also scored at one number of images.",
                "FID = ‖μ − μᵣ‖² + tr(Σ + Σᵣ − 2(ΣΣᵣ)^½)",
                "FID errs high, and more with fewer images. KID does not.",
                "Heusel et al., NeurIPS 2017; Bińkowski et al., ICLR 2018",
            ),
            Number(
                "Inception score",
                "High if each image clearly belongs to one class and all classes occur.",
                "exp E[KL(p(y|x) ‖ p(y))]",
                "It can rise although the images are not better.",
                "Salimans et al., NeurIPS 2016",
            ),
        ),
    ),
    Topic(
        "run",
        "The run",
        "An entrant's page says where each number comes from: device, precision, seeds, commit, library versions, the sha256"
        " of the weights, and the command that measures it again.",
        (
            Number(
                "Seconds",
                "Compute time on the device that the entrant's page names, added up over all measures and shards.",
                errs="It is not wall time. Times on different devices do not compare.",
            ),
            Number(
                "Verified, not verified",
                "harness verify shows a classifier every witness again, recomputes values from the per-sample arrays, and"
                " checks every sha256. A page says when this proved the record as it is now. Without that, or after any"
                " change, the record is marked as not verified.",
                errs="Verification proves that robust accuracy is at most the number. That AutoAttack really left the rest"
                " is not proved: an audit attacks some of them again.",
            ),
            Number(
                "As published",
                "A run's pages also show the records that the project publishes. Of an entrant that both have, the page says"
                " how they agree: flags must be equal, other numbers may differ by rounding.",
            ),
            Number(
                "Flags",
                "Warnings that a reader must know: AutoAttack's own ones, zero gradients, a run on other examples or with other"
                " code, arrays that do not verify, doubts of the publisher.",
            ),
        ),
    ),
)


@dataclass(frozen=True)
class MethodView:
    """All that the page of the method shows."""

    topics: tuple[Topic, ...] = TOPICS

    @property
    def root(self) -> str:
        return ""

    @property
    def scripts(self) -> tuple[Script, ...]:
        return ()
