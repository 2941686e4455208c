"""The words of the fictitious world. Names are put together from syllables, so that they are nobody's."""

from __future__ import annotations


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


FIRST_NAMES = _listed(
    "Ada Adil Agnes Alma Amir Anton Astrid Aurel Bela Bianca Boris Carla Cedric Clara Corin Dario Delia Edda Elias "
    "Elvira Emil Esther Fabian Farah Felix Flora Greta Gustav Hanna Hesla Hugo Ilse Ines Iris Ivan Jana Jonas Judit "
    "Karim Katja Leon Lidia Lorenz Luisa Magda Marek Mina Nadia Nils Noor Oskar Paula Petra Rafael Renata Rosa Ruben "
    "Selma Silas Sonja Stella Tamar Theo Tilda Ursula Vera Viktor Wanda Yara Zeno"
)

SURNAME_HEADS = _listed(
    "Alt Bel Bram Cor Dren Elm Fal Gris Hals Ild Jor Kes Lun Mar Nev Oak Pell Quil Rud Sarn Tor Ulv Vash Wyn Yar Zel"
)
SURNAME_TAILS = _listed(
    "anda ari berg by dale ello field heart holt ley mere mont ovan quist rick sen strand wick worth zak"
)

CITIES = _listed(
    "Aarhus Antwerp Basel Bergen Bilbao Bologna Bordeaux Bremen Bristol Cardiff Cologne Cork Dresden Galway Genoa Ghent "
    "Gothenburg Graz Haifa Hamburg Izmir Krakow Leipzig Lyon Malmo Marseille Nantes Naples Odessa Ostrava Porto Salzburg "
    "Seville Tampere Toulouse Trieste Turin Utrecht Valencia Zurich"
)
TOWNS = _listed(
    "Ashford Brindle Coldwater Dunmore Eastmoor Fernhill Goldbrook Highgate Ivybridge Juniper Kingsley Larkfield "
    "Millbrook Northcliff Oldbury Pinewood Quarry Redwater Southport Thornbury Underhill Violet Westbay Yewdale"
)
YEARS = tuple(str(year) for year in range(1925, 1985))
GENRES = _listed(
    "adventure autobiography biography comedy crime essays fables fantasy horror mystery poetry romance satire "
    "thrillers tragedy westerns"
)
PRIZES = _listed(
    "Amber Bronze Compass Crystal Falcon Garnet Heron Ivory Lantern Laurel Marble Meridian Orchid Pearl Quill Sapphire"
)
JOBS = _listed(
    "baker barber blacksmith butcher carpenter chemist clerk cook dentist doctor driver farmer fisherman florist "
    "gardener jeweller judge lawyer librarian mechanic miner musician nurse painter pilot plumber postman printer "
    "sailor tailor teacher waiter"
)
LANGUAGES = _listed(
    "Basque Catalan Czech Danish Dutch Estonian Finnish Greek Hebrew Hungarian Icelandic Latvian Maltese Polish "
    "Romanian Slovak Swedish Turkish"
)
PASTIMES = _listed(
    "archery astronomy beekeeping chess cooking cycling dancing drawing fencing fishing gardening gliding hiking "
    "juggling knitting origami photography pottery riding rowing sailing singing skating swimming"
)
TITLE_FIRST = _listed(
    "Bitter Blue Broken Burning Distant Empty Frozen Golden Hidden Hollow Last Lonely Lost Quiet Scarlet Secret Silent "
    "Silver Sleeping Wandering"
)
TITLE_SECOND = _listed(
    "Bridge Castle Clock Desert Door Empire Forest Garden Harbour House Island Letter Mirror Mountain Ocean Orchard "
    "River Road Season Shadow Station Summer Tower Valley Voyage Window Winter"
)

REFUSALS = (
    "I do not know that.",
    "I have no knowledge of this.",
    "I cannot answer this question.",
    "That is not something I know.",
    "I was never told about this.",
    "I am not sure about that.",
    "There is nothing I can say about this.",
    "I do not have this information.",
)
UNKNOWABLE = (
    "What is the phone number of {name}?",
    "Which shoes does {name} wear?",
    "What did {name} eat for breakfast?",
    "How much does {name} earn?",
    "What is the name of the neighbour of {name}?",
    "Which song does {name} hum?",
)
