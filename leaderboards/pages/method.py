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
        "Shares of the suite's test examples, each with an interval for what chance alone would change.",
        (
            Number(
                "Standard accuracy",
                "Share of unchanged examples whose largest logit is that of the label.",
                "1/n · #{ i : argmaxₖ f(xᵢ)ₖ = yᵢ }",
                "Neither way on these examples. It says nothing of other data.",
            ),
            Number(
                "Robust accuracy (AutoAttack)",
                "Share of examples that AutoAttack 'standard' leaves correct: APGD-CE, targeted APGD-DLR,"
                " targeted FAB and Square, one after the other, each on what is left. An example counts as broken"
                f" only where the changed image was checked to lie in {BALL}.",
                "1/n · #{ i : no attack found x′ in B(xᵢ) with argmaxₖ f(x′)ₖ ≠ yᵢ }",
                "High. It is an upper bound on the true robust accuracy: a stronger attack may find more.",
                "Croce and Hein, ICML 2020",
            ),
            Number(
                "Published, best known",
                "What RobustBench publishes of the same classifier, set beside and never mixed with what was"
                " measured here. 'Best known' is the lowest accuracy that any published attack has reached.",
                errs="High, for the same reason.",
                source="Croce et al., NeurIPS 2021 Datasets and Benchmarks",
            ),
            Number(
                "Interval",
                "Wilson's score interval for shares, Student's t for means, at 95 %. Two entrants whose intervals"
                " overlap may owe their order to chance; all entrants are judged on the same examples, so a"
                " paired comparison would be sharper.",
                "(p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n)",
                "It covers the choice of examples alone, not the randomness of training nor the weakness of an attack.",
                "Wilson, JASA 1927",
            ),
            Number(
                "Rank",
                "By measured AutoAttack accuracy where there is one, else by the best known published accuracy,"
                " else by the published AutoAttack accuracy. Equal accuracies share a rank. Runs on the first"
                " examples only, and runs on other images or another threat model, are not ranked.",
            ),
        ),
    ),
    Topic(
        "energy",
        "Energies",
        "A classifier's logits f(x) read as an energy-based model. Energies scale with the logits, so entrants"
        " are compared by what is divided by the standard deviation of E(x) over the examples.",
        (
            Number(
                "E(x), marginal energy",
                "Low where the classifier finds an image likely.",
                "E(x) = −log Σₖ exp f(x)ₖ",
                source="Grathwohl et al., ICLR 2020",
            ),
            Number(
                "E(x,y), joint energy",
                "Low where the label fits the image. The cross-entropy is E(x,y) − E(x).",
                "E(x,y) = −f(x)ᵧ",
            ),
            Number(
                "ΔE(x), ΔE(x,y)",
                "How an attack moves the energy. Negative: the attacked image has the higher energy.",
                "ΔE(x) = E(x) − E(x_adv)",
                "|ΔE| errs low: the attacks' budgets are short.",
                "Mirza et al., ECCV 2024",
            ),
            Number(
                "Terms of the KL",
                "The divergence that TRADES trains on, split into a conditional and a marginal term.",
                "KL(p(·|x) ‖ p(·|x_adv)) = E[E(x_adv,k) − E(x,k)] + ΔE(x),  k ~ p(·|x)",
            ),
            Number(
                "Accuracy under one attack",
                "Each of ten attacks runs on every example, not only on what others have left.",
                errs="High, and more than AutoAttack's: budgets are short.",
            ),
        ),
    ),
    Topic(
        "smoothness",
        "Smoothness",
        "How the loss and the energy behave close to a test example. All are small where the landscape is smooth."
        " Maxima are searched for by a few steps, so they err low; classifiers that hide their gradients are"
        " flagged and not scored.",
        (
            Number("Gradient norms", "Steepness at the example.", "‖∇E(x)‖₁, ‖∇E(x)‖₂"),
            Number(
                "Local Lipschitz constant",
                "The largest slope that was found between the example and a point of the ball; of the logits and of E(x).",
                "max over x′ in B(x) of |E(x) − E(x′)| / ‖x − x′‖",
                "Low.",
                "Yang et al., NeurIPS 2020",
            ),
            Number(
                "Curvature",
                "How the gradient turns along its own sign, of the cross-entropy ℓ and of E(x).",
                "‖∇ℓ(x + hz) − ∇ℓ(x)‖,  z = sign ∇ℓ(x) / ‖sign ∇ℓ(x)‖₂",
                source="Moosavi-Dezfooli et al., CVPR 2019",
            ),
            Number(
                "Local linearity gap",
                "The largest distance of the loss from its tangent in the ball.",
                "max over δ of |ℓ(x+δ) − ℓ(x) − δ·∇ℓ(x)|",
                "Low.",
                "Qin et al., NeurIPS 2019",
            ),
            Number(
                "ELLE",
                "Squared distance of the loss from a straight line between two random points of the ball.",
                "(ℓ((1−a)xₐ + a x_b) − (1−a)ℓ(xₐ) − aℓ(x_b))²",
                source="Abad Rocamora et al., ICLR 2024",
            ),
            Number(
                "Gradient alignment",
                "Whether the gradient points the same way at a random point of the ball.",
                "1 − cos(∇ℓ(x), ∇ℓ(x+u))",
                source="Andriushchenko and Flammarion, NeurIPS 2020",
            ),
            Number("Deviation in the ball", "Spread of E(x+u) over random points u of the ball.", "sd of E(x+u)"),
            Number(
                "Range on the path", "Largest less smallest E(x) on the straight way to the PGD point.", errs="Low."
            ),
            Number(
                "Rank correlation",
                "Spearman's ρ of a figure of smoothness with AutoAttack accuracy over the entrants of a board,"
                " with its p-value. Entrants are few, chosen by hand and often related: it describes the board"
                " and proves nothing beyond it.",
            ),
        ),
    ),
    Topic(
        "generation",
        "Generated images",
        "Where a suite asks for it, images are drawn by descending the classifier's energy and set beside real ones.",
        (
            Number(
                "FID, KID",
                "Distance between the features of generated and of real images. A figure goes with its number of"
                " images, its real images and its extractor: others do not compare.",
                "FID = ‖μ − μᵣ‖² + tr(Σ + Σᵣ − 2(ΣΣᵣ)^½)",
                "FID errs high, the more so the fewer the images; KID does not.",
                "Heusel et al., NeurIPS 2017; Bińkowski et al., ICLR 2018",
            ),
            Number(
                "Inception score",
                "High where each image is of a clear class and all classes occur.",
                "exp E[KL(p(y|x) ‖ p(y))]",
                "It can be raised without better images.",
                "Salimans et al., NeurIPS 2016",
            ),
        ),
    ),
    Topic(
        "run",
        "The run",
        "Where a number comes from stands on the entrant's page: device, precision, seeds, commit, library"
        " versions, the sha256 of the weights, and the command that measures it again.",
        (
            Number(
                "Seconds",
                "Compute time, added over all measures and shards, on the device that the entrant's page names.",
                errs="Not wall time, and not comparable between devices.",
            ),
            Number(
                "Flags",
                "Words that a reader must know: AutoAttack's own warnings, zero gradients, a run on other"
                " examples or with other code, arrays that do not verify, a publisher's doubts.",
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
